"""The views of a comparison, each in one file."""
