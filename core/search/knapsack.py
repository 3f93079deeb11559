"""Chooses one option for each layer: the least damage for every number of bytes.

A multiple-choice knapsack. Layer after layer is merged into the set of all choices so far, and of
these only those stay that no other one beats in both bytes and damage. That is exact. Where the set
becomes too large, only the least damage of each of many equal steps of bytes stays.
"""

from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MOST_POINTS = 4096
"""The size of the set of choices above which bytes are divided into this many steps."""


@dataclass(frozen=True)
class OptionCost:
    """What one option of a layer costs.

    bytes: in the packed file. damage: what the network's answers lose, 0 or more.
    """

    bytes: int
    damage: float


@dataclass(frozen=True)
class Selection:
    """One option for each layer.

    choices: the index of the layer's option, by the layer's name. bytes, damage: sums over all
    layers.
    """

    choices: Mapping[str, int]
    bytes: int
    damage: float


@dataclass(frozen=True, eq=False)
class _Merged:
    """The choices that are left after a layer was merged, by ascending bytes and falling damage.

    bytes, damage: sums over the layers so far, (n,). before: each choice's place among the choices
    before this layer. option: the option of this layer.
    """

    bytes: NDArray[np.int64]
    damage: NDArray[np.float64]
    before: NDArray[np.int64]
    option: NDArray[np.int64]


def best_selections(
    options: Mapping[str, Sequence[OptionCost]], most_points: int = MOST_POINTS
) -> list[Selection]:
    """Return the selections that no other one beats in both bytes and damage.

    options: those of each layer, at least one. The result ascends in bytes and falls in damage. It
    is exact while no more than `most_points` choices are left after each layer.
    """
    steps: list[_Merged] = []
    so_far = _Merged(np.zeros(1, np.int64), np.zeros(1), np.zeros(1, np.int64), np.zeros(1, int))
    for costs in options.values():
        so_far = _thinned(_merge(so_far, costs), most_points)
        steps.append(so_far)
    chosen = _chosen_options(steps, len(so_far.bytes))
    names = list(options)
    return [
        Selection(dict(zip(names, row, strict=True)), int(size), float(damage))
        for row, size, damage in zip(chosen.tolist(), so_far.bytes, so_far.damage, strict=True)
    ]


def best_selection_within(selections: Sequence[Selection], most_bytes: int) -> Selection | None:
    """Return the selection of a frontier with the least damage within the bytes, None if none is.

    selections: by ascending bytes and falling damage, as `best_selections` returns them.
    """
    count = bisect_right(selections, most_bytes, key=lambda selection: selection.bytes)
    return selections[count - 1] if count else None


def _merge(so_far: _Merged, costs: Sequence[OptionCost]) -> _Merged:
    """Combine all choices with all options of one more layer, and drop those that are beaten."""
    option_bytes = np.array([cost.bytes for cost in costs], np.int64)
    option_damage = np.array([cost.damage for cost in costs])
    sizes = (so_far.bytes[:, None] + option_bytes).ravel()
    damages = (so_far.damage[:, None] + option_damage).ravel()
    order = np.lexsort((damages, sizes))
    least_before = np.minimum.accumulate(damages[order])
    is_kept = np.append(True, damages[order][1:] < least_before[:-1])
    kept = order[is_kept]
    return _Merged(sizes[kept], damages[kept], kept // len(costs), kept % len(costs))


def _thinned(merged: _Merged, most_points: int) -> _Merged:
    """Keep the least damage of each step of bytes, and the smallest choice, if there are too many.

    A choice keeps its own bytes, so that no sum is ever wrong.
    """
    if len(merged.bytes) <= most_points:
        return merged
    smallest = merged.bytes[0]
    width = (merged.bytes[-1] - smallest) / (most_points - 1)
    steps = np.ceil((merged.bytes - smallest) / width).astype(np.int64)
    kept = np.flatnonzero(np.append(steps[1:] != steps[:-1], True))  # the last of each step
    return _Merged(
        merged.bytes[kept], merged.damage[kept], merged.before[kept], merged.option[kept]
    )


def _chosen_options(steps: Sequence[_Merged], count: int) -> NDArray[np.int64]:
    """Follow the choices back through the layers; (selections, layers)."""
    chosen = np.empty((count, len(steps)), np.int64)
    places = np.arange(count)
    for layer in reversed(range(len(steps))):
        chosen[:, layer] = steps[layer].option[places]
        places = steps[layer].before[places]
    return chosen
