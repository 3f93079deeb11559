"""Parts of the Prune page."""
