"""What compensated rounding and pruning share: the layers in order, and their output errors."""
