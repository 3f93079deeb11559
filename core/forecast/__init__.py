"""Forecasts of a run: its cost, what pruning keeps, what quantization loses, how long it takes."""
