"""Shared by compensated rounding and pruning: the layers in order, and their output errors."""
