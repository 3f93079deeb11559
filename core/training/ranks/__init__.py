"""Training by several processes, of which each takes its part of every batch."""
