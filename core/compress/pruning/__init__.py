"""The parts of pruning: the registry of methods, their scores, and exact selection."""
