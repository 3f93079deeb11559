"""Parts of the tour."""
