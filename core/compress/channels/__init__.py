"""Makes pruned networks smaller: channels that cannot matter leave the network."""
