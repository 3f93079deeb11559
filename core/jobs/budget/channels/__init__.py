"""Removes whole channels until a network is fast enough: searches how many, tunes and tests."""
