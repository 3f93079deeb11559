"""Checks the recipes of a sweep before anything is made, for the page and the command alike."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core.config import TrainRecipe
from core.errors import UserError
from core.jobs.check import Names, check_recipe
from core.runs.sweeps.grid import Chain

# `check_recipe` depends on none of these, and a sweep varies them most.
_UNCHECKED: dict[str, Any] = {"seed": True, "lr": True, "prune": {"density"}}


def check_chains(
    chains: Iterable[Chain], root: Path, dataset: str | None, names: Names | None = None
) -> None:
    """Raise UserError, in one sentence, for the first recipe of which a run would fail.

    root: the folder of the data sets. dataset: that of the network which the chains begin with,
    None if they begin with a training. names: see `core.jobs.check.Names`.
    """
    checked: set[str] = set()
    for chain in chains:
        if not chain:
            raise UserError("A sweep needs a training, or clusters, bits or a budget.")
        first = chain[0]
        name = first.dataset if isinstance(first, TrainRecipe) else dataset
        for recipe in chain:
            key = f"{name} {recipe.model_dump_json(exclude=_UNCHECKED)}"
            if key not in checked:
                check_recipe(recipe, root, names, name)
                checked.add(key)
