"""Rounding that knows the data: the error of one weight is taken up by the weights after it."""
