"""Compares the answers of two to four networks for the same test images, and explains them."""
