"""Measures networks that exist: their weights, their kernels and their activations."""
