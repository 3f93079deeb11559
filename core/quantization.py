"""The notebook interface of quantization: `QuantizeNetwork()(model, num_cluster)`."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from core.compress.affine import quantize_model
from core.compress.kmeans import share_model


class QuantizeNetwork:
    """Quantize a trained network: share its weights by k-means, then store them in 8 bits.

        quantize = QuantizeNetwork(verbose=True)
        shared = quantize(model, num_cluster=5)
        small = quantize.to_8bit(shared)

    Both steps take every Conv2d, Linear and BatchNorm weight and leave the model that they are given untouched. Both
    are simulated: the returned network computes in float with quantized values, on the model's device. With
    `verbose`, each prints a line for every layer with the number of its unique weights before and after.
    """

    def __init__(self, verbose: bool = True):
        self.verbose = verbose

    def __call__(self, model: nn.Module, num_cluster: int = 5) -> nn.Module:
        """A copy of the model whose layers hold at most `num_cluster` different weights each, and 0.0 where they did.

        num_cluster is the number of clusters itself, 2 to 256, not a number of bits. Weights that are 0.0 stay so.
        Raises UserError for other numbers, and for a layer whose weights are not finite.
        """
        return self._replaced(model, share_model(model, num_cluster, batchnorm=True))

    def to_8bit(self, model: nn.Module) -> nn.Module:
        """A copy of the model whose layers hold at most 256 evenly spaced weights each, 0.0 among them.

        One scale a layer, so that of weights that were shared before, it is the shared values that are rounded.
        """
        return self._replaced(model, quantize_model(model, bits=8, batchnorm=True))

    def _replaced(self, model: nn.Module, quantized: Mapping) -> nn.Module:
        result = copy.deepcopy(model)
        weights = dict(result.named_parameters())
        for name, item in quantized.items():
            before, after = weights[name].data, item.decode()
            if self.verbose:
                print(f"{name}: {_unique(before):,} -> {_unique(after):,} unique weights")
            weights[name].data = after.to(before)
        return result


def _unique(weight: Tensor) -> int:
    return torch.unique(weight).numel()
