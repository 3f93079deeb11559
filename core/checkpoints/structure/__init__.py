"""Matches the layers of two networks whose tensors have different names."""
