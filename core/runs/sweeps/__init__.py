"""Sweeps: many runs from one set of lists, worked on one after the other."""
