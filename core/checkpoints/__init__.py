"""Reads networks from other programs' files, without running code in them."""
