"""The files that a network leaves Secateur in: their formats, writers, and a check of each."""
