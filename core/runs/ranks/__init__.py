"""A run that several processes work on: the worker supervises, and each rank trains."""
