"""The form of a training, as values: a recipe fills the form, and the form makes a recipe.

The key of a widget is the name of its field, except for those in `_PRUNE_KEYS`.
"""

from typing import Any

import streamlit as st

from core.config import Prune, TrainRecipe, validate_recipe
from core.errors import UserError
from core.models import model_info
from core.runs.run import Run
from pages.parts.shared.presets import PRESETS

DENSE = "dense"  # the choice among the pruning methods that prunes nothing
AUGMENT_CHOICES = {"auto": None, "yes": True, "no": False}

# Keys of widgets, and the fields of Prune that they hold. TrainRecipe has a batch size, too.
_PRUNE_KEYS = {
    "scorebatch": "batch_size",
    "scorebatches": "batches",
    "rounds": "rounds",
    "scoremode": "score_mode",
    "scoreaugment": "augment",
}
_OTHER_FIELDS = {"kind", "prune", "augment"}  # whose widgets do not hold the field's own value


def draw_presets() -> None:
    """Draw a button for each preset, which fills the form."""
    with st.container(horizontal=True, vertical_alignment="center", key="presets"):
        st.markdown("Start from", width="content")
        for name, preset in PRESETS.items():
            st.button(
                name,
                on_click=fill_form,
                args=(preset.recipe,),
                help=preset.text,
                key=f"preset-{name}",
                width="content",
            )


def fill_form(recipe: TrainRecipe) -> None:
    """Put the recipe's values into the form. Works only before the form is drawn."""
    prune = recipe.prune or Prune()
    values: dict[str, Any] = recipe.model_dump(exclude=_OTHER_FIELDS)
    values["method"] = prune.method if recipe.prune else DENSE
    values["density"] = prune.density
    values["layerwise"] = prune.layerwise
    values["pattern"] = prune.pattern
    for key, field in _PRUNE_KEYS.items():
        values[key] = getattr(prune, field)
    for word, augment in AUGMENT_CHOICES.items():
        if augment is recipe.augment:
            values["augment"] = word
    values["validation_of"] = recipe.dataset
    st.session_state.update(values)


def refill_form(run: Run) -> None:
    """Put the settings of a training run into the form. Raises UserError for other runs."""
    if not isinstance(run.recipe, TrainRecipe):
        raise UserError(
            f"“{run.name}” was not trained here, so there are no settings to take over."
        )
    fill_form(run.recipe)


def form_recipe() -> TrainRecipe:
    """The recipe that the form describes. Raises UserError for values that it does not take."""
    state = st.session_state
    names = [name for name in TrainRecipe.model_fields if name not in _OTHER_FIELDS]
    values = {name: state.get(name) for name in names}
    values["devices"] = state.get("devices", 1)  # has no widget on a machine with one GPU
    values["model"] = model_info(state["model"]).name  # has the version of an own network
    values["augment"] = AUGMENT_CHOICES[state["augment"]]
    values["prune"] = None if state["method"] == DENSE else _prune_values()
    return validate_recipe(TrainRecipe, values)


def _prune_values() -> dict[str, Any]:
    state = st.session_state
    values = {name: state[name] for name in ("method", "pattern", "density", "layerwise")}
    for key, field in _PRUNE_KEYS.items():
        values[field] = state.get(key)
    return values
