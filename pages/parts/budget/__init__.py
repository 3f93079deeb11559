"""What the budget page is made of."""
