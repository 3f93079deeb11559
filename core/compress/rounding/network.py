"""Quantizes a network with compensated rounding, one layer after the other."""

import copy
import time
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from core.compress.affine import QuantizedWeight
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.walk import layer_of, replace_weights_
from core.compress.rounding.layer import RoundedLayer, round_layer
from core.events import Progress


@dataclass(frozen=True, eq=False)
class RoundedNetwork:
    """A network after compensated rounding.

    layers: the rounded layers by parameter name. seconds: how long it took.
    """

    layers: dict[str, RoundedLayer]
    seconds: float

    @property
    def items(self) -> dict[str, QuantizedWeight]:
        """The quantized weights of the rounded layers, by parameter name."""
        return {name: layer.item for name, layer in self.layers.items()}

    def describe(self, images: int) -> str:
        """Say in a sentence how long it took and what it changed. images: their number."""
        nearest = sum(layer.nearest_error for layer in self.layers.values())
        remaining = sum(layer.error for layer in self.layers.values())
        removed = 1 - remaining / nearest if nearest else 0.0
        return (
            f"Compensated rounding on {images:,} training images, without labels, took"
            f" {self.seconds:.1f} s. It removed {removed:.0%} of the output errors of the layers."
        )


def round_network(
    network: nn.Module,
    nearest: Mapping[str, QuantizedWeight],
    names: Sequence[str],
    batches: Sequence[Tensor],
) -> Generator[Progress, None, RoundedNetwork]:
    """Round the layers of these names with compensated rounding; `network` is not changed.

    network: in float, in evaluation mode. nearest: its quantized weights after nearest rounding, by
    parameter name; those that are not in `names` are used as they are. names: weights of Conv2d and
    Linear. batches: normalised training images on the network's device, without labels.

    Layers are rounded in the order in which the network calls them. Two kinds of layers stay as
    they are in `nearest` and are missing in the result: those that the network does not call,
    because it uses the weight in another way, and those with inputs or outputs that are not finite.
    Yields Progress in layers.
    """
    began = time.perf_counter()
    quantized = copy.deepcopy(network)
    for name, item in nearest.items():
        if name not in names:
            quantized.get_parameter(name).data.copy_(item.decode())
    layers: dict[str, RoundedLayer] = {}

    def rounded(name: str, inputs: InputMoments | None) -> Tensor:
        if inputs is None:
            return nearest[name].decode()
        layers[name] = round_layer(layer_of(network, name), nearest[name], inputs)
        return layers[name].item.decode()

    stage = "Compensated rounding"
    yield from replace_weights_(quantized, network, names, batches, rounded, stage)
    return RoundedNetwork(layers, time.perf_counter() - began)
