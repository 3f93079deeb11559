"""Pruning that knows the data: the kept weights make up for the removed ones."""
