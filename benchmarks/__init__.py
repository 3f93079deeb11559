"""Benchmarks: each one prints a table and writes results/NAME.json."""
