"""The preview of a training: what its pruning would keep, and how long it would take."""

from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, TypeVar

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import data
from core.config import TrainRecipe
from core.errors import UserError
from core.events import Event
from core.forecast import pace, pruning
from pages.parts.server.login import access
from pages.parts.server.permission import permission
from pages.parts.shared.progress import drain, drain_once, is_quick
from pages.parts.shared.shell import draw_error
from pages.parts.shared.words import plain, size
from pages.parts.train.forecast import draw_forecast
from pages.parts.train.pruning import is_iterative

MOST_RECIPES = 6  # whose previews are kept in memory

_Result = TypeVar("_Result")


def draw_preview(recipe: TrainRecipe, dataset: data.Choice, root: Path) -> None:
    """Draw the preview, or the button that makes it.

    root: the folder of the data sets.
    """
    if dataset.state in ("download", "on disk"):
        _draw_prepare_button(dataset, root)
        return
    place = st.empty()
    if _preview_key(recipe, root) not in _memory() and not _is_wanted(recipe, place):
        return
    try:
        preview = _preview_pruning(recipe, root, place)
        measured_pace = _measure_pace(recipe, root, place)
    except UserError as error:
        place.error(plain(str(error)), icon=":material/error:")
    except (MemoryError, RuntimeError, ValueError) as error:
        _draw_torch_error(error, place)
    else:
        draw_forecast(recipe, preview, measured_pace)


def _is_wanted(recipe: TrainRecipe, place: DeltaGenerator) -> bool:
    """Draw the button. Return whether it was clicked, or is not needed any more.

    After the first click, the preview of a quick recipe follows every change without a click.
    """
    iterative = is_iterative(recipe.prune)
    if iterative:
        st.caption(
            "The scores of this method hold for one density only. Click Preview after each change."
        )
    clicked = place.button(
        "Preview",
        icon=":material/visibility:",
        key="preview",
        width="stretch",
        help="Build the network, and score its weights on the first training batch.",
    )
    if clicked:
        st.session_state["previewed"] = True
        return True
    was_clicked = "previewed" in st.session_state
    return was_clicked and not iterative and is_quick(recipe.model, recipe.batch_size)


# -- computing, with results in a memory for all sessions --


@st.cache_resource(show_spinner=False)
def _memory() -> dict[str, Any]:
    """The previews and paces of the newest recipes."""
    return {}


def _preview_key(recipe: TrainRecipe, root: Path) -> str:
    return pruning.scoring_recipe(recipe).model_dump_json() + str(root)


def _preview_pruning(
    recipe: TrainRecipe, root: Path, place: DeltaGenerator
) -> pruning.PruningPreview:
    key = _preview_key(recipe, root)
    return _computed_once(key, pruning.preview_pruning, recipe, root, place)


def _measure_pace(recipe: TrainRecipe, root: Path, place: DeltaGenerator) -> pace.Pace:
    images = (recipe.train_images, recipe.validation)
    facts = (recipe.model, recipe.dataset, recipe.batch_size, recipe.device, *images)
    return _computed_once(f"{facts} {root}", pace.measure_pace, recipe, root, place)


def _computed_once(
    key: str,
    compute: Callable[[TrainRecipe, data.Dataset], Generator[Event, None, _Result]],
    recipe: TrainRecipe,
    root: Path,
    place: DeltaGenerator,
) -> _Result:
    """The result in the memory. If it is missing, compute it and show the progress at `place`."""

    def start() -> Generator[Event, None, _Result]:
        dataset = data.load(recipe.dataset, root)
        return _freeing_gpu(compute(recipe, dataset))

    return drain_once(_memory(), key, start, place, 2 * MOST_RECIPES)


def _freeing_gpu(events: Generator[Event, None, _Result]) -> Generator[Event, None, _Result]:
    """Run the events, then give the GPU memory that they used to the trainings."""
    try:
        return (yield from events)
    finally:
        pruning.release_gpu_memory()


# -- what keeps a preview from being made --


def _draw_torch_error(error: Exception, place: DeltaGenerator) -> None:
    """Show an error of torch, such as too little memory or an impossible batch size."""
    lines = str(error).splitlines()
    reason = plain(lines[0]) if lines else "Out of memory."
    place.error(
        f"{reason} Another batch size may help.",
        icon=":material/error:",
        title="This cannot be previewed, and the training would fail in the same way",
    )


def _draw_prepare_button(dataset: data.Choice, root: Path) -> None:
    """Say that the images are not ready, and draw the button that prepares them."""
    action = "unpacked"
    if dataset.state == "download":
        action = f"downloaded ({size(dataset.info.download)})"
    st.info(
        f"{dataset.name} has to be {action} once. A training does that by itself. A preview needs"
        " it before.",
        icon=":material/download:",
    )
    clicked = st.button("Get it now", icon=":material/download:", key="prepare", **permission())
    if not clicked:
        return
    try:
        access().check_write()
        drain(data.prepare(dataset.name, root), st.empty())
    except (UserError, OSError) as error:
        draw_error(error)
        return
    st.rerun()
