"""Writes a report of any selection of runs: one HTML file that is read offline and printed."""
