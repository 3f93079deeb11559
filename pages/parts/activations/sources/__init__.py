"""The sources of the networks on the activations page, a module for each."""
