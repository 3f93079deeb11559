"""Where the networks on the activations page come from, a module for each source."""
