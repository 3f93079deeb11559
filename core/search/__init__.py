"""Finds clusters or bits for each layer, so that a network fits a budget of bytes or accuracy."""
