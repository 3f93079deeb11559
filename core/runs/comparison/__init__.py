"""Compares runs: their figures, settings and layers, and the Pareto frontier."""
