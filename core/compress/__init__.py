"""Compression: which weights to remove, and how to store the others in few bits."""
