"""The search on the page of a budget run."""
