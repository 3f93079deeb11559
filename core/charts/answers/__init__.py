"""Draws how the answers of several models for the same test images differ."""
