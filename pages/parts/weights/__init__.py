"""Parts of the Weights page."""
