"""Run many runs on a Ray cluster: its address, its jobs, and the process that looks after them."""
