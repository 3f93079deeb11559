"""Looking at networks: what they cost, their weights, their kernels and their activations."""
