"""The options of a layer: how many clusters or bits its weight may get."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from core.compress.affine import QuantizedWeight, quantize
from core.compress.kmeans import share_weights
from core.config import BudgetKind

Detail = Literal["few", "usual", "all"]
"""How many options a layer gets. Fewer take less time to measure."""

_NUMBERS: dict[BudgetKind, dict[Detail, tuple[int, ...]]] = {
    "share": {
        "few": (2, 3, 5, 8, 16),
        "usual": (2, 3, 4, 5, 6, 8, 12, 16, 32),
        "all": (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 64),
    },
    "round": {"few": (2, 3, 4), "usual": (2, 3, 4, 5, 6), "all": (2, 3, 4, 5, 6, 7, 8)},
}
_UNITS: dict[BudgetKind, str] = {"share": "clusters", "round": "bits"}


@dataclass(frozen=True, order=True)
class LayerOption:
    """A number of clusters (share) or of bits (round) for one layer."""

    kind: BudgetKind
    number: int

    def to_dict(self) -> dict[str, int]:
        """Return {"clusters": 5} or {"bits": 4}."""
        return {_UNITS[self.kind]: self.number}

    def quantize(self, weight: Tensor, name: str) -> QuantizedWeight:
        """Quantize a weight with nearest rounding; pruned weights stay exactly 0.

        The levels begin evenly spaced. With compensated rounding and the coder of the packed file,
        these lose the least for their bytes. Raises UserError for a weight that is not finite.
        """
        if self.kind == "share":
            return share_weights(weight, self.number, keep_zeros=True, init="linear", name=name)
        return quantize(weight, self.number, axis=0, range_method="mse", name=name)


Choices = Mapping[str, LayerOption]
"""One option for each layer, by the name of its weight."""


def option_of(values: Mapping[str, int]) -> LayerOption:
    """Return the option that `LayerOption.to_dict` describes."""
    ((unit, number),) = values.items()
    kind = next(kind for kind, name in _UNITS.items() if name == unit)
    return LayerOption(kind, number)


def layer_options(kinds: Iterable[BudgetKind], detail: Detail) -> list[LayerOption]:
    """Return the options of a layer, of all these kinds."""
    return [LayerOption(kind, number) for kind in kinds for number in _NUMBERS[kind][detail]]


def plain_choices(choices: Choices) -> dict[str, dict[str, int]]:
    """Return the choices as JSON-ready plain data."""
    return {name: option.to_dict() for name, option in choices.items()}


def choices_of(plain: Mapping[str, Mapping[str, int]]) -> dict[str, LayerOption]:
    """Return the choices that `plain_choices` describes."""
    return {name: option_of(values) for name, values in plain.items()}
