"""Writes elements, charts and numbers for the sections of a report, and has its style sheet."""
