"""The results of a sweep whose networks were fitted into budgets."""
