"""Remembers what trials have measured, for all sessions."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.compress.pruning.methods import learns_from_images
from core.config import PruneRecipe
from core.runs.run import Run
from pages.parts.prune.preview import score_key

if TYPE_CHECKING:
    from core.jobs.pruning_trial import TriedDensity  # imports torch

_MOST_CURVES = 100  # that are kept in memory

TriedDensities = dict[float, "TriedDensity"]
"""What was measured, by density."""


def densities_tried(run: Run, recipe: PruneRecipe, root: Path) -> TriedDensities:
    """Return what was measured with these settings, in a dict that can be added to."""
    memory = _curves()
    tried = memory.setdefault(trial_key(run, recipe, root), {})
    while len(memory) > _MOST_CURVES:
        memory.pop(next(iter(memory)), None)
    return tried


def trial_key(run: Run, recipe: PruneRecipe, root: Path) -> str:
    """Return all settings that the results depend on, as a text; no fine-tuning is among them."""
    recipe = recipe.model_copy(update={"epochs": 0})
    spared = (recipe.spare_first, recipe.spare_last)
    facts = [recipe.method, recipe.layer_densities, spared, recipe.recalibrate, recipe.seed]
    if learns_from_images(recipe.method):
        facts.append(recipe.images)
    return f"{score_key(run, recipe, root)} {facts}"


@st.cache_resource(show_spinner=False)
def _curves() -> dict[str, TriedDensities]:
    return {}
