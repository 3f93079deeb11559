"""Counts the parameters and multiply-adds of networks that no registry has figures of."""

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode


def count_parameters(network: nn.Module) -> int:
    """Return the number of trained parameters."""
    return sum(parameter.numel() for parameter in network.parameters())


def count_multiply_adds(network: nn.Module, side: int) -> int:
    """Return the multiply-adds for one image of 3 x `side` x `side`.

    network: on torch's meta device. Raises whatever its forward raises there.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), counter:
        network.eval()(torch.empty(1, 3, side, side, device="meta"))
    # A multiplication and an addition count as two operations.
    return int(counter.get_total_flops()) // 2
