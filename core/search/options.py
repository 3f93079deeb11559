"""The options of a layer: how many clusters or bits it may get, and how many weights stay."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn

from core.compress.affine import QuantizedWeight, quantize
from core.compress.compensation.moments import InputMoments
from core.compress.kmeans import share_weights
from core.compress.packed.writer import coded_bytes
from core.compress.rounding.layer import round_layer
from core.compress.sparse.layer import prune_layer, without_smallest
from core.config import BudgetKind

Detail = Literal["few", "usual", "all"]
"""How many options a layer gets. Fewer take less time to measure."""

ChoiceUnit = Literal["clusters", "bits"]

_UNITS: dict[BudgetKind, ChoiceUnit] = {"share": "clusters", "round": "bits"}
_NUMBERS: dict[ChoiceUnit, dict[Detail, tuple[int, ...]]] = {
    "clusters": {
        "few": (2, 3, 5, 8, 16),
        "usual": (2, 3, 4, 5, 6, 8, 12, 16, 32),
        "all": (2, 3, 4, 5, 6, 7, 8, 10, 12, 16, 24, 32, 64),
    },
    "bits": {"few": (2, 3, 4), "usual": (2, 3, 4, 5, 6), "all": (2, 3, 4, 5, 6, 7, 8)},
}
_DENSITIES: dict[Detail, tuple[float, ...]] = {
    "few": (0.5, 0.25),
    "usual": (0.6, 0.4, 0.25),
    "all": (0.75, 0.6, 0.45, 0.3, 0.2, 0.1),
}
_NUMBERS_OF_PRUNED: dict[Detail, tuple[int, ...]] = {
    "few": (2, 4),
    "usual": (2, 3, 5),
    "all": (2, 3, 4, 6, 8),
}
"""Clusters of the weights that stay."""


@dataclass(frozen=True, order=True)
class LayerOption:
    """A number of clusters or of bits for one layer.

    density: fraction of the weights that stay, 1 if none is removed. Only with clusters.
    """

    unit: ChoiceUnit
    number: int
    density: float = 1.0

    def to_dict(self) -> dict[str, float]:
        """Return {"clusters": 5}, {"clusters": 5, "density": 0.5} or {"bits": 4}."""
        density = {} if self.density == 1 else {"density": self.density}
        return {self.unit: self.number} | density

    def quantize(self, weight: Tensor, name: str) -> QuantizedWeight:
        """Quantize a weight with nearest rounding; pruned weights stay exactly 0.

        Of a layer that is pruned, the largest weights stay. The levels begin evenly spaced. With
        compensated rounding and the coder of the packed file, these lose the least for their bytes.
        Raises UserError for a weight that is not finite.
        """
        if self.unit == "bits":
            return quantize(weight, self.number, axis=0, range_method="mse", name=name)
        if self.density < 1:
            weight, _ = without_smallest(weight, self.count_of(weight))
        return share_weights(weight, self.number, keep_zeros=True, init="linear", name=name)

    def count_of(self, weight: Tensor) -> int:
        """Return how many weights stay."""
        return max(1, round(self.density * weight.numel()))


class LayerQuantizer:
    """Quantizes one layer with any option, so that its outputs stay. Prunes it once a density.

    Rounding is compensated. Of a layer that is pruned, those weights stay that its outputs depend
    on, and make up for the others.
    """

    def __init__(self, layer: nn.Module, name: str, inputs: InputMoments | None):
        """layer: a Conv2d or Linear in float, not changed. inputs: None for nearest rounding."""
        assert isinstance(layer.weight, Tensor)
        self._layer = layer
        self._weight = layer.weight.detach()
        self._name = name
        self._inputs = inputs
        self._pruned = {1.0: self._weight}

    def quantize(self, option: LayerOption) -> QuantizedWeight:
        """Return the quantized weight. Raises UserError for a weight that is not finite."""
        if self._inputs is None:
            return option.quantize(self._weight, self._name)
        if option.density not in self._pruned:
            count = option.count_of(self._weight)
            self._pruned[option.density] = prune_layer(self._weight, count, self._inputs).weight
        alike = LayerOption(option.unit, option.number)
        nearest = alike.quantize(self._pruned[option.density], self._name)
        return round_layer(self._layer, nearest, self._inputs).item


Choices = Mapping[str, LayerOption]
"""One option for each layer, by the name of its weight."""


def option_of(values: Mapping[str, float]) -> LayerOption:
    """Return the option that `LayerOption.to_dict` describes."""
    if "bits" in values:
        return LayerOption("bits", int(values["bits"]))
    return LayerOption("clusters", int(values["clusters"]), values.get("density", 1.0))


def units_of(kinds: Sequence[BudgetKind]) -> list[ChoiceUnit]:
    """Return what the layers may be given, by these kinds."""
    return [unit for kind, unit in _UNITS.items() if kind in set(kinds)]


def layer_options(kinds: Sequence[BudgetKind], detail: Detail) -> list[LayerOption]:
    """Return the options of a layer, of all these kinds."""
    options = [
        LayerOption(unit, number) for unit in units_of(kinds) for number in _NUMBERS[unit][detail]
    ]
    if "prune" not in kinds:
        return options
    return options + [
        LayerOption("clusters", number, density)
        for density in _DENSITIES[detail]
        for number in _NUMBERS_OF_PRUNED[detail]
    ]


def _smallest_options(kinds: Sequence[BudgetKind]) -> list[LayerOption]:
    """Return the options of which one has the fewest bytes, for any weight."""
    smallest = [LayerOption(unit, 2) for unit in units_of(kinds)]
    if "prune" in kinds:
        smallest.append(LayerOption("clusters", 2, min(_DENSITIES["all"])))
    return smallest


def smallest_items(
    kinds: Sequence[BudgetKind], weights: Mapping[str, Tensor]
) -> tuple[Choices, dict[str, QuantizedWeight]]:
    """Return the choice of fewest bytes for each weight, and the weights with nearest rounding."""
    choices: dict[str, LayerOption] = {}
    items: dict[str, QuantizedWeight] = {}
    for name, weight in weights.items():
        options = _smallest_options(kinds)
        tried = {option: option.quantize(weight.detach(), name) for option in options}
        sizes = {option: coded_bytes(item) for option, item in tried.items()}
        choices[name] = min(sizes, key=lambda option: sizes[option])
        items[name] = tried[choices[name]]
    return choices, items


def uniform_options(unit: ChoiceUnit) -> list[LayerOption]:
    """Return what all layers may be given alike, from the smallest to the largest."""
    return [LayerOption(unit, number) for number in _NUMBERS[unit]["all"]]


def plain_choices(choices: Choices) -> dict[str, dict[str, float]]:
    """Return the choices as JSON-ready plain data."""
    return {name: option.to_dict() for name, option in choices.items()}


def choices_of(plain: Mapping[str, Mapping[str, float]]) -> dict[str, LayerOption]:
    """Return the choices that `plain_choices` describes."""
    return {name: option_of(values) for name, values in plain.items()}
