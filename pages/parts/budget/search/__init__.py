"""What the page of a budget run shows of its search."""
