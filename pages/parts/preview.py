"""What a recipe would do: the density of every layer, what is kept, how long it takes; before anything starts."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import streamlit as st

from core import data
from core.config import TrainRecipe
from core.errors import UserError
from core.events import Event
from core.models import info
from core.training import preview
from pages.parts.form import short
from pages.parts.importing import followed
from pages.parts.states import duration, plain, size

REMEMBERED = 6
QUICK = 10e9  # multiply-adds of a batch up to which a preview follows every change by itself


def show(recipe: TrainRecipe, choice: data.Choice, root: Path) -> None:
    """Draw the preview, or what has to happen first."""
    if choice.state in ("download", "on disk"):
        _prepare(choice, root)
        return
    place = st.empty()
    key, memory = preview.relevant(recipe).model_dump_json() + str(root), _memory()
    if key not in memory:
        again, light = "previewed" in st.session_state, info(recipe.model).macs * recipe.batch_size < QUICK
        iterative = recipe.prune is not None and recipe.prune.method in preview.ITERATIVE
        if iterative:
            st.caption("This method scores for one density only: each change is previewed anew, on demand.")
        pressed = place.button("Preview", icon=":material/visibility:", key="preview", width="stretch",
                               help="Builds the network and scores its weights on the first training batch.")
        if not pressed and not (again and light and not iterative):
            return
        st.session_state["previewed"] = True
    try:
        found = _computed(key, memory, recipe, root, place)
    except UserError as error:
        place.error(plain(str(error)), icon=":material/error:")
    except (MemoryError, RuntimeError, ValueError) as error:  # torch's words for too large, too few and too odd
        why = plain(str(error).splitlines()[0]) if str(error) else "Out of memory."
        place.error(f"{why} Another batch size may help.",
                    icon=":material/error:", title="This cannot be previewed, and the training would fail likewise")
    else:
        _draw(recipe, *found)


@st.cache_resource(show_spinner=False)
def _memory() -> dict[str, tuple]:
    """The previews and paces of late, for all sessions; st.cache_resource itself has no way to show progress."""
    return {}


def _computed(key: str, memory: dict, recipe: TrainRecipe, root: Path, place
              ) -> tuple[preview.Preview, preview.Pace]:
    """The preview and the pace of the recipe, from the memory or with their progress shown at `place`."""
    pace_key = f"{recipe.model} {recipe.dataset} {recipe.batch_size} {recipe.device} {recipe.train_images} {root}"
    found = []  # of their own: the memory is shared, and forgets
    for name, compute in (key, preview.scored), (pace_key, preview.paced):
        if (known := memory.get(name)) is None:
            place.progress(0.0, text="Starting ...")
            results: list[Any] = []
            try:
                followed(_keeping(compute(recipe, data.load(recipe.dataset, root)), results), place)
            finally:
                preview.release()
            known = memory[name] = results[0]
            while len(memory) > 2 * REMEMBERED:
                memory.pop(next(iter(memory)), None)
        found.append(known)
    return found[0], found[1]


def _keeping(generator: Generator[Event, None, Any], results: list) -> Generator[Event, None, None]:
    results.append((yield from generator))


def _prepare(choice: data.Choice, root: Path) -> None:
    """Say that the images are not here yet, and fetch them on demand."""
    what = f"downloaded ({choice.info.download / 1e6:,.0f} MB)" if choice.state == "download" else "unpacked"
    st.info(f"{choice.name} has to be {what} once. Training does that by itself; a preview needs it before.",
            icon=":material/download:")
    if st.button("Get it now", icon=":material/download:", key="prepare"):
        try:
            followed(data.prepare(choice.name, root), st.empty())
        except (UserError, OSError) as error:
            st.error(plain(str(error)), icon=":material/error:")
            return
        st.rerun()


def _draw(recipe: TrainRecipe, found: preview.Preview, pace: preview.Pace) -> None:
    from core.charts import density  # brings altair, which the form does not need

    prune = recipe.prune
    layerwise = bool(prune and prune.layerwise)
    cut = found.at(recipe.density, layerwise)
    _figures(cut, pace, recipe)
    if cut.dead:
        st.warning(f"{_listed(cut.dead)} would keep no weight: nothing passes but the bias. A higher density, the "
                   "layerwise choice or SynFlow avoids that.", icon=":material/block:",
                   title=f"{len(cut.dead)} dead layer{'s' if len(cut.dead) > 1 else ''}")
    if prune is None:
        st.caption("A dense network: every layer keeps all its weights.")
        return
    ways = {"layerwise" if layerwise else "global": cut.layers}
    if not (layerwise and prune.method in preview.ITERATIVE):  # its scores would be others
        ways["global" if layerwise else "layerwise"] = found.at(recipe.density, not layerwise).layers
    st.altair_chart(density.chart(ways), key="layers", alt=density.described(ways))


def _figures(cut: preview.Cut, pace: preview.Pace, recipe: TrainRecipe) -> None:
    dense, sparse = cut.size.dense, cut.size.sparse
    look: dict[str, Any] = {"border": True, "delta_color": "off", "delta_arrow": "off"}
    with st.container(horizontal=True, key="figures"):
        st.metric("Weights kept", f"{cut.kept:,}", f"{cut.kept / cut.weights:.2%} of {short(cut.weights)}", **look,
                  help=f"Of {cut.weights:,} prunable weights: those of convolutions and linear layers.")
        st.metric("Multiply-adds", short(cut.macs_left), f"{cut.macs_left / cut.macs:.2%} of {short(cut.macs)}",
                  **look,
                  help="For one image, on a machine that skips every zero. Ordinary hardware does not.")
        st.metric("File, estimated", size(min(sparse, dense)), f"dense: {size(dense)}", **look,
                  help="An estimate: the kept weights in float32, and ideally coded masks.")
        st.metric("Training, about", duration(pace.epoch_seconds * recipe.epochs),
                  f"{pace.images_per_second:,.0f} images/s", **look,
                  help=f"From a few steps measured just now: about {duration(pace.epoch_seconds)} an epoch, tests "
                       f"included, {recipe.epochs} epochs. What else the machine does changes it.")


def _listed(names: list[str], most: int = 6) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(f"`{name}`" for name in names[:most]) + more
