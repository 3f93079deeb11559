"""The views of the activations page: the choice among them, and where the networks part."""
