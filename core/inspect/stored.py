"""The weights of a model on disk, one at a time: nothing is read but what is looked at."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path

from torch import Tensor

from core.errors import UserError
from core.models import skeleton
from core.models.parameters import prunable
from core.models.saved import Facts


@dataclass(frozen=True)
class Layer:
    """The weight of a convolution (O, I, kH, kW) or of a linear layer (O, I), by its parameter's name."""

    name: str
    shape: tuple[int, ...]

    @property
    def short(self) -> str:
        """The layer's own name."""
        return self.name.removesuffix(".weight")

    @property
    def size(self) -> str:
        """The shape in print."""
        return " × ".join(map(str, self.shape))


Row = tuple[Layer | None, Layer | None]
"""A layer of each of two networks; None where one has no more."""


def layers(facts: Facts) -> list[Layer]:
    """Every convolution and linear layer of a saved model, in the network's order."""
    model = skeleton(facts.model, len(facts.classes))
    return [Layer(name, tuple(weight.shape)) for name, weight in prunable(model).items()]


def load_weight(path: Path, name: str) -> Tensor:
    """The tensor called `name` of the safetensors file at `path`. Raises UserError if it cannot be read."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "pt") as file:
            return file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UserError(f"{name} cannot be read from {path}: the file is gone, damaged or of another network ({error})."
                        ) from error


def beside(first: Sequence[Layer], second: Sequence[Layer]) -> list[Row]:
    """The layers of two networks that belong side by side: those of one name, all in an order that suits both.

    What only one of them has stands alone. Networks that share no name at all are paired by number.
    """
    ours, theirs = ({layer.name: layer for layer in layers} for layers in (first, second))
    if not ours.keys() & theirs.keys():
        return list(zip_longest(first, second))
    rows: list[Row] = [(layer, theirs.get(layer.name)) for layer in first]
    place = 0
    for layer in second:
        if layer.name in ours:
            place = rows.index((ours[layer.name], layer)) + 1
        else:
            rows.insert(place, (None, layer))
            place += 1
    return rows
