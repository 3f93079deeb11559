"""Training: a generator of events that can stop after any batch and continue as if it had not."""
