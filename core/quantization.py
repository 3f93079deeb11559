"""Quantizes networks in a notebook: `QuantizeNetwork()(model, num_cluster)`."""

import copy
from collections.abc import Mapping
from typing import TypeVar

import torch
from torch import Tensor, nn

from core.compress.affine import QuantizedWeight, quantize_model
from core.compress.kmeans import share_model

Network = TypeVar("Network", bound=nn.Module)


class QuantizeNetwork:
    """Quantizes a trained network: shares its weights by k-means, then stores them in 8 bits.

        quantize = QuantizeNetwork(verbose=True)
        shared = quantize(model, num_cluster=5)
        small = quantize.to_8bit(shared)

    Both steps quantize every Conv2d, Linear and BatchNorm weight, and leave the given model
    unchanged. Both are simulated: the returned network computes in float with quantized values, on
    the model's device.

    verbose: whether to print, for every layer, the number of its unique weights before and after.
    """

    def __init__(self, verbose: bool = True):
        self.verbose = verbose

    def __call__(self, model: Network, num_cluster: int = 5) -> Network:
        """Return a copy of the model with at most `num_cluster` different weights in each layer.

        Weights that are 0.0 stay 0.0 and are not counted. `num_cluster` is the number of clusters,
        2 to 256, not a number of bits. Raises UserError for other numbers, and for a layer whose
        weights are not finite.
        """
        return self._replace_weights(model, share_model(model, num_cluster, batchnorm=True))

    def to_8bit(self, model: Network) -> Network:
        """Return a copy of the model with at most 256 evenly spaced weights in each layer.

        0.0 is one of these weights. Each layer has a single scale: if its weights were shared
        before, the shared values are rounded, and their number does not grow. Raises UserError for
        a layer whose weights are not finite.
        """
        return self._replace_weights(model, quantize_model(model, bits=8, batchnorm=True))

    def _replace_weights(self, model: Network, quantized: Mapping[str, QuantizedWeight]) -> Network:
        """Return a copy of the model with these weights."""
        result = copy.deepcopy(model)
        weights = dict(result.named_parameters())
        for name, item in quantized.items():
            before = weights[name].data
            after = item.decode()
            if self.verbose:
                print(f"{name}: {_unique(before):,} -> {_unique(after):,} unique weights")
            weights[name].data = after.to(before)
        return result


def _unique(weight: Tensor) -> int:
    return torch.unique(weight).numel()
