"""Parts of the Activations page."""
