"""Draws the first weights of the networks for small images."""

from torch import nn


def initialise_(network: nn.Module) -> None:
    """Draw the weights of all convolutions again, and set their biases to zero.

    The weights come from He et al.'s normal distribution over the fan-out (arXiv:1502.01852, eq.
    14).
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
