"""The disk that runs take, and what can be removed from it."""
