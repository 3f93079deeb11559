"""Networks for CIFAR in the layouts of the repositories whose checkpoints people have."""
