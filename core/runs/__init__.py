"""Runs: what was asked for, what happened, and the processes that make it happen."""
