"""Runs: their folders, their workers, and how they are started, cancelled and resumed."""
