"""The settings that a sweep takes over from the form of a training: those that it has no list for.

They come in the address as ?base=JSON.
"""

import json
from typing import Any

import streamlit as st

from core.config import Prune, TrainRecipe, validate_recipe
from core.errors import UserError
from core.models import plain_name
from core.runs.comparison.settings import label_of
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.words import plain

_KEY = "base"
_LISTED = {
    "kind",
    "prune",
    "model",
    "dataset",
    "epochs",
    "train_images",
    "lr",
    "keep_every",
    "prune.method",
    "prune.density",
    "prune.layerwise",
}


def address_of_recipe(recipe: TrainRecipe) -> dict[str, str]:
    """Return the address that fills the form of a sweep with this recipe, and with nothing else."""
    prune = recipe.prune or Prune()
    return {
        "start": "train",
        "models": plain_name(recipe.model),
        "datasets": recipe.dataset,
        "methods": prune.method,
        "densities": f"{recipe.density:.12g}",
        "scopes": "layerwise" if prune.layerwise else "global",
        "lrs": f"{recipe.lr:.12g}",
        "sweep_epochs": str(recipe.epochs),
        "images": "" if recipe.train_images is None else str(recipe.train_images),
        "compress": "none",
        _KEY: json.dumps(_other_settings(recipe)),
    }


def base_settings() -> dict[str, Any]:
    """Return the other settings of the training by the path of their field, mostly none."""
    keep_in_address(_KEY, {}, _parse, to_text=json.dumps)
    settings: dict[str, Any] = st.session_state[_KEY]
    return settings


def draw_base(settings: dict[str, Any]) -> None:
    """Say which settings differ from their defaults, with a button that resets them."""
    if not settings:
        return
    words = ", ".join(
        f"{label_of(f'train.{name}').lower()} {value}" for name, value in settings.items()
    )
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption(f"From the Train page: {plain(words)}.", width="stretch")
        st.button("Reset", type="tertiary", key="reset_base", on_click=_reset)


def _reset() -> None:
    st.session_state[_KEY] = {}


def _other_settings(recipe: TrainRecipe) -> dict[str, Any]:
    """The settings that differ from their defaults and have no list in the form, by path."""
    values = _flat(recipe.model_dump(mode="json", exclude_defaults=True))
    return {name: value for name, value in values.items() if name not in _LISTED}


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat |= _flat(value, f"{name}.") if isinstance(value, dict) else {prefix + name: value}
    return flat


def _parse(text: str) -> dict[str, Any] | None:
    """Make the settings of a text in the address, None if a recipe does not take them."""
    try:
        settings = json.loads(text)
        nested: dict[str, Any] = {}
        for name, value in settings.items():
            if not isinstance(value, str | int | float):  # also bool
                return None
            outer, _, last = name.rpartition(".")
            (nested.setdefault(outer, {}) if outer else nested)[last] = value
        validate_recipe(TrainRecipe, nested)
    except (ValueError, AttributeError, TypeError, UserError):
        return None
    return {name: value for name, value in settings.items() if name not in _LISTED}
