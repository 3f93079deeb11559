"""The form of the prune page, which makes a recipe."""

from pathlib import Path

import streamlit as st

from core.config import LayerDensities, PruneRecipe, TrainedMethod, validate_recipe
from core.errors import UserError
from core.runs.prune import epochs_to_rewind_to
from core.runs.run import Run
from pages.parts.prune.fields import (
    DEFAULT_PRUNE_RECIPE,
    PRUNE_LABELS,
    draw_prune_choice,
    draw_prune_segments,
    draw_prune_toggle,
    excluded_in_form,
    prune_key,
    usual_options,
)
from pages.parts.prune.fine_tuning import draw_fine_tuning, draw_more_settings
from pages.parts.shared.address import address_selectbox, choose
from pages.parts.shared.density import draw_density
from pages.parts.shared.suggestion import follow_suggestion, forget_suggestion

METHOD_LABELS: dict[TrainedMethod, str] = {
    "compensated": "Compensated",
    "magnitude": "Magnitude",
    "snip": "SNIP at the trained weights",
    "random": "Random",
    "channel-magnitude": "Magnitude of whole channels",
    "channel-snip": "SNIP of whole channels",
}
_METHOD_NOTES: dict[TrainedMethod, str] = {
    "compensated": (
        "The kept weights make up for the removed ones. It trains nothing and usually loses the"
        " least accuracy before any fine-tuning."
    ),
    "magnitude": "The smallest weights go. It needs no images.",
    "snip": "Those weights go whose removal changes the loss least, on training images.",
    "random": "The baseline that every other method has to beat.",
    "channel-magnitude": (
        "Whole channels go, so an exported network is really smaller and faster. It costs more"
        " accuracy than single weights and needs fine-tuning."
    ),
    "channel-snip": (
        "Whole channels go, so an exported network is really smaller and faster. It costs more"
        " accuracy than single weights and needs fine-tuning."
    ),
}
_DENSITY_LABELS: dict[LayerDensities, str] = {
    "global": "Global",
    "layerwise": "Layerwise",
    "erk": "ERK",
    "uniform+": "Uniform+",
}
_NO_REWIND = "no"  # in the address, too
_SHARE_OF_PRUNED = 0.5  # of what a pruned parent keeps, as the first density of the form


def refill_prune_form(run: Run) -> None:
    """Put a run's recipe and its parent into the form, whose widgets must not be drawn yet.

    Raises UserError for a run that did not prune a trained network.
    """
    recipe = run.recipe
    if not isinstance(recipe, PruneRecipe):
        raise UserError(
            f"“{run.name}” did not prune a trained network, so it has no settings to copy."
        )
    for name, value in recipe.model_dump(exclude={"kind"}).items():
        forget_suggestion(prune_key(name))
        choose(prune_key(name), value)
    choose(prune_key("rewind"), _NO_REWIND if recipe.rewind is None else str(recipe.rewind))
    choose("run", run.config.parent)


def draw_prune_form(parent: Run, root: Path) -> PruneRecipe:
    """Draw the form, and return the recipe. Raises UserError if it is not valid.

    parent: The model's run. root: The folder of the data sets.
    """
    draw_prune_choice(st.container(), "method", list(METHOD_LABELS), METHOD_LABELS)
    st.caption(_METHOD_NOTES[st.session_state[prune_key("method")]])
    _draw_density(parent)
    draw_prune_segments("layer_densities", _DENSITY_LABELS)
    with st.container(horizontal=True, key="spared"):
        draw_prune_toggle("spare_first")
        draw_prune_toggle("spare_last")
    draw_fine_tuning(parent, root)
    rewindable = epochs_to_rewind_to(parent)
    if rewindable:
        _draw_rewind(rewindable)
    with st.expander("More settings", icon=":material/tune:"):
        draw_more_settings()
    return _form_recipe(has_rewind=bool(rewindable))


def _draw_density(parent: Run) -> None:
    """Draw the density. It starts with half of what is left in a network that was pruned before."""
    summary = parent.status.summary
    before = 1.0 if summary is None else summary.density
    start = DEFAULT_PRUNE_RECIPE.density
    if before <= start / _SHARE_OF_PRUNED:
        start = float(f"{_SHARE_OF_PRUNED * before:.2g}")
    follow_suggestion(prune_key("density"), start)
    draw_density(PruneRecipe, prune_key("density"), start)


def _draw_rewind(epochs: list[int]) -> None:
    """Draw the choice among these epochs of the parent's training."""
    labels = {_NO_REWIND: "They stay as they are"}
    labels |= {str(epoch): f"Back to epoch {epoch}" for epoch in epochs}
    if 0 in epochs:
        labels["0"] = "Back to the initial weights (lottery ticket)"
    address_selectbox(
        PRUNE_LABELS["rewind"],
        prune_key("rewind"),
        list(labels),
        what="epoch",
        format_func=labels.__getitem__,
        **usual_options("rewind"),
    )


def _form_recipe(*, has_rewind: bool) -> PruneRecipe:
    """Return the recipe, with the defaults of what is not used."""
    unused = set(excluded_in_form())
    if not has_rewind:
        unused.add("rewind")
    names = PruneRecipe.model_fields.keys() - {"kind"} - unused
    values = {name: st.session_state[prune_key(name)] for name in names}
    if values.get("rewind") == _NO_REWIND:
        del values["rewind"]
    return validate_recipe(PruneRecipe, values, PRUNE_LABELS)
