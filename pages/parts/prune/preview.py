"""The preview of a pruning: the parent's scores, from which every density can be read off."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.compress.pruning.methods import scores_on_images
from core.config import PruneRecipe
from core.events import Progress
from core.runs.run import Run
from pages.parts.shared.cache import model_key
from pages.parts.shared.get_images import draw_get_images, has_images_here
from pages.parts.shared.progress import drain_once, is_quick
from pages.parts.shared.saved_model import load_saved_model

if TYPE_CHECKING:
    from collections.abc import Generator

    from core.forecast.trained_pruning import ScoredParent

_MOST_PARENTS = 3  # whose scores are kept in memory


def scored_parent(
    run: Run, recipe: PruneRecipe, root: Path, place: DeltaGenerator
) -> "ScoredParent | None":
    """Return the scores of a run's model, or draw at `place` the button that makes them.

    Scores that need no images are made at once, with the progress at `place`. root: the folder of
    the data sets. Raises UserError as the run would.
    """
    key = score_key(run, recipe, root)
    if key not in _memory() and not _is_wanted(run, recipe, root, place):
        return None

    def start() -> "Generator[Progress, None, ScoredParent]":
        from core.jobs.pruning_trial import preview_trained_pruning

        return preview_trained_pruning(load_saved_model(run), recipe, root)

    return drain_once(_memory(), key, start, place, _MOST_PARENTS)


def _is_wanted(run: Run, recipe: PruneRecipe, root: Path, place: DeltaGenerator) -> bool:
    """Draw the button, unless none is needed. Return whether the scores are to be made now."""
    if not scores_on_images(recipe.method):
        return True
    if not has_images_here(run.dataset, root):
        with place.container():
            draw_get_images("This preview", run.dataset, root, key="prune_data")
        return False
    clicked = place.button(
        "Preview",
        icon=":material/visibility:",
        key="prune_preview",
        width="stretch",
        help=f"Score the weights on {recipe.images:,} training images.",
    )
    if clicked:
        st.session_state["prune_previewed"] = True
        return True
    was_clicked = "prune_previewed" in st.session_state
    return was_clicked and is_quick(run.model, recipe.images)


def score_key(run: Run, recipe: PruneRecipe, root: Path) -> str:
    """Return all that the scores depend on, as a text."""
    facts: list[object] = [model_key(run), root, recipe.device]
    method = "magnitude" if recipe.method == "compensated" else recipe.method
    if scores_on_images(recipe.method):
        facts += [recipe.images, recipe.epochs > 0]  # fine-tuning holds images back
    if method == "random" or scores_on_images(recipe.method):
        facts.append(recipe.seed)
    return f"{method} {facts}"


@st.cache_resource(show_spinner=False)
def _memory() -> dict[str, Any]:
    return {}
