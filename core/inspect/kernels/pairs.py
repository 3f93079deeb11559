"""Pairs the layers of two networks for a comparison."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest


@dataclass(frozen=True)
class LayerShape:
    """The name and shape of a weight: (O, I, kH, kW) of a convolution, (O, I) of a linear layer."""

    name: str
    shape: tuple[int, ...]

    @property
    def short(self) -> str:
        """The name of the layer, without ".weight"."""
        return self.name.removesuffix(".weight")

    @property
    def size(self) -> str:
        """The shape in words, such as "10 × 84"."""
        return " × ".join(map(str, self.shape))


LayerPair = tuple[LayerShape | None, LayerShape | None]
"""A layer of each of two networks; None where one of them has no counterpart."""


def pair_layers(first: Sequence[LayerShape], second: Sequence[LayerShape]) -> list[LayerPair]:
    """Pair the layers of two networks that have the same name, in an order that suits both.

    A layer that only one network has is paired with None. Networks without any common name are
    paired by position.
    """
    in_first = {layer.name: layer for layer in first}
    in_second = {layer.name: layer for layer in second}
    if not in_first.keys() & in_second.keys():
        return list(zip_longest(first, second))
    pairs: list[LayerPair] = [(layer, in_second.get(layer.name)) for layer in first]
    place = 0  # where the next layer that only the second network has belongs
    for layer in second:
        if layer.name in in_first:
            place = pairs.index((in_first[layer.name], layer)) + 1
        else:
            pairs.insert(place, (None, layer))
            place += 1
    return pairs
