"""Prunes a trained network with compensation, one layer after the other.

As in Frantar and Alistarh, "SparseGPT" (arXiv:2301.00774), each layer shall keep its outputs, and
no labels are used. Meng et al., "ALPS" (arXiv:2406.07831), choose the masks and fit the kept
weights as here.
"""

import copy
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from core.compress.compensation.moments import InputMoments
from core.compress.compensation.walk import replace_weights_
from core.compress.sparse.layer import SparseLayer, prune_layer, without_smallest
from core.events import Progress


@dataclass(frozen=True, eq=False)
class SparseNetwork:
    """A network after compensated pruning.

    weights, masks: of the pruned layers, by parameter name. layers: those that were compensated.
    seconds: how long it took.
    """

    weights: dict[str, Tensor]
    masks: dict[str, Tensor]
    layers: dict[str, SparseLayer]
    seconds: float

    @property
    def removed(self) -> float:
        """The share of the output errors that is gone, of those that magnitude makes; at most 1."""
        before = sum(layer.magnitude_error for layer in self.layers.values())
        remaining = sum(layer.error for layer in self.layers.values())
        return 1 - remaining / before if before else 0.0

    def describe(self, images: int) -> str:
        """Say in a sentence how long it took and what it changed. images: their number."""
        return (
            f"Compensated pruning on {images:,} training images, without labels, took"
            f" {self.seconds:.1f} s. It removed {self.removed:.0%} of the output errors that the"
            " layers have without their smallest weights."
        )


def prune_network(
    network: nn.Module, kept: Mapping[str, int], batches: Sequence[Tensor]
) -> Generator[Progress, None, SparseNetwork]:
    """Prune the layers of these names; `network` is not changed.

    network: in float, in evaluation mode. kept: how many weights each layer keeps, by parameter
    name; the layers are Conv2d and Linear. Other layers stay as they are. batches: normalised
    training images on the network's device, without labels.

    Layers are pruned in the order in which the network calls them. Those that it does not call,
    because it uses the weight in another way, and those with inputs or outputs that are not finite
    lose their smallest weights without compensation. Yields Progress in layers.
    """
    began = time.perf_counter()
    weights: dict[str, Tensor] = {}
    masks: dict[str, Tensor] = {}
    layers: dict[str, SparseLayer] = {}

    def pruned(name: str, inputs: InputMoments | None) -> Tensor:
        weight = network.get_parameter(name).detach()
        if inputs is None:
            weights[name], masks[name] = without_smallest(weight, kept[name])
        else:
            layers[name] = prune_layer(weight, kept[name], inputs)
            weights[name] = layers[name].weight
            masks[name] = layers[name].mask
        return weights[name]

    sparse = copy.deepcopy(network)
    names = list(kept)
    yield from replace_weights_(sparse, network, names, batches, pruned, "Compensated pruning")
    return SparseNetwork(weights, masks, layers, time.perf_counter() - began)
