"""Plans the runs of a sweep: gives each recipe the token of its run.

The token follows from the recipe, the run that it is applied to, and the data set. So all sweeps
share a run that they have in common, and nothing is run twice.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from core import data
from core.config import Recipe, TrainRecipe
from core.runs.store import run_id_of
from core.runs.sweeps.grid import Chain
from core.runs.sweeps.sweep import PlannedChain, PlannedRun

# They do not change the result.
_WITHOUT_EFFECT = {"device", "devices", "keep_every", "keep_mb"}


def plan_chains(
    chains: Iterable[Chain], parent: str | None, data_folder: Path
) -> list[PlannedChain]:
    """Return the planned runs of each chain, each chain once.

    parent: id of the run that each chain begins with, None if it begins with a training.
    """
    planned = [_plan(chain, parent, data_folder) for chain in chains]
    return unique_chains(planned)


def unique_chains(chains: Iterable[PlannedChain]) -> list[PlannedChain]:
    """Return each of the chains once, in their order."""
    return list({tuple(run.token for run in chain): chain for chain in chains}.values())


def _plan(chain: Chain, parent: str | None, data_folder: Path) -> PlannedChain:
    planned = []
    for recipe in chain:
        token = f"sweep:{parent or ''}:{_describe(recipe, data_folder)}"
        planned.append(PlannedRun(recipe=recipe, token=token))
        parent = run_id_of(token)
    return tuple(planned)


def _describe(recipe: Recipe, data_folder: Path) -> str:
    """All that the result of a recipe depends on, besides what it is applied to."""
    excluded: dict[str, Any] = dict.fromkeys(_WITHOUT_EFFECT, True)
    if isinstance(recipe, TrainRecipe) and recipe.prune and recipe.prune.pattern == "free":
        excluded["prune"] = {"pattern"}  # tokens are older than this setting
    text = recipe.model_dump_json(exclude=excluded)
    if isinstance(recipe, TrainRecipe):
        text += data.fingerprint(recipe.dataset, data_folder)
    return text
