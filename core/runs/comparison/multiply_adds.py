"""Counts the multiply-adds that remain of a run's network after its pruning."""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING

from core.data import DatasetInfo
from core.errors import UserError
from core.runs.comparison.layers import LayerFigures
from core.runs.run import Run

if TYPE_CHECKING:
    from core.forecast.cost import LayerCost  # imports torch


def remaining_macs(
    lineage: Sequence[Run], info: DatasetInfo | None, layers: Mapping[str, LayerFigures]
) -> float | None:
    """Return the multiply-adds that remain for one image; None if they are not known.

    lineage: the run's ancestors and the run itself, which is last. info: of its data set. layers:
    the figures of its layers.
    """
    if info is None:
        return None
    return count_macs(lineage[-1].model, info.classes, info.side, is_pruned(lineage), layers)


def is_pruned(lineage: Sequence[Run]) -> bool:
    """Whether some of the prunable weights of a lineage's last run are cut."""
    return any(run.density < 1 or run.status.kept != run.status.prunable for run in lineage)


def count_macs(
    model: str, classes: int, side: int, pruned: bool, layers: Mapping[str, LayerFigures]
) -> float | None:
    """Return the multiply-adds for one image of which `layers` keeps a part; None if not known.

    They are not known of a network that does not take such images. Nor are they of a pruned one
    without figures of every layer: a training that has not scored yet, or an imported network.
    """
    costs = costs_of_layers(model, classes, side)
    if costs is None:
        return None
    from core.forecast.cost import effective_macs  # imports torch

    kept = {name: layer.kept for name, layer in layers.items()}
    prunable = {cost.name for cost in costs if cost.kind != "MultiheadAttention"}
    if pruned and not prunable <= kept.keys():
        return None
    return effective_macs(costs, kept)


@lru_cache(maxsize=64)
def costs_of_layers(model: str, classes: int, side: int) -> "list[LayerCost] | None":
    """Return the cost of each layer; None for a network that does not take such images."""
    from core.forecast.cost import layer_costs  # imports torch
    from core.models import build_on_meta, check_side

    try:
        check_side(model, side)
        return layer_costs(build_on_meta(model, classes), side)
    except UserError:
        return None
