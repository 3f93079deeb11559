"""The form of a new sweep, and what it takes to run it."""
