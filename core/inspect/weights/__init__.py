"""Measures how the weights of networks are distributed, and how two networks differ."""
