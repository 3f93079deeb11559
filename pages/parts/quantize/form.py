"""The form of the quantize page, which makes a recipe."""

from pathlib import Path
from typing import Any

import streamlit as st

from core.config import QuantizeKind, QuantizeRecipe, validate_recipe
from core.errors import UserError
from core.runs.run import Run
from pages.parts.quantize.layer_settings import layer_settings, set_layer_settings
from pages.parts.quantize.settings import DEFAULT_QUANTIZE_RECIPES, draw_method_settings
from pages.parts.shared.address import choose, keep_choice_in_address

QUANTIZE_METHODS: dict[QuantizeKind, str] = {
    "kmeans": "Share weights (k-means)",
    "affine": "Round to bits (affine)",
}


def refill_quantize_form(run: Run) -> None:
    """Put a run's recipe and its parent into the form, whose widgets must not be drawn yet.

    Raises UserError for a run that is not a quantization.
    """
    recipe = run.recipe
    if not isinstance(recipe, QuantizeRecipe):
        raise UserError(f"“{run.name}” was not quantized here, so it has no settings to copy.")
    state = st.session_state
    for name, value in recipe.model_dump(exclude={"kind", "layers"}).items():
        state[f"{recipe.kind}_{name}"] = value
    state["quantize_method"] = recipe.kind
    choose("run", run.config.parent)
    set_layer_settings(str(run.config.parent), recipe.kind, dict(recipe.layers))


def draw_quantize_form(
    shapes: dict[str, tuple[int, ...]], parent: Run, root: Path
) -> QuantizeRecipe:
    """Draw the form, and return the recipe. Raises UserError if it is not valid.

    shapes: The shapes of the model's tensors, by name.
    parent: The model's run.
    root: The folder of the data sets.
    """
    kind = _choose_method()
    draw_method_settings(kind, parent, shapes, root)
    recipe_type = type(DEFAULT_QUANTIZE_RECIPES[kind])
    fields = recipe_type.model_fields.keys() - {"kind", "layers"}
    values: dict[str, Any] = {name: st.session_state[f"{kind}_{name}"] for name in fields}
    can_quantize_vectors = values["batchnorm"]  # BatchNorm's weights have one axis
    least_axes = 1 if can_quantize_vectors else 2
    values["layers"] = {
        name: choice
        for name, choice in layer_settings(parent.id, kind).items()
        if len(shapes.get(name, ())) >= least_axes
    }
    return validate_recipe(recipe_type, values)


def _choose_method() -> QuantizeKind:
    keep_choice_in_address(
        "quantize_method", QUANTIZE_METHODS, "kmeans", what="method", name="method"
    )
    kind = st.segmented_control(
        "Method",
        list(QUANTIZE_METHODS),
        format_func=QUANTIZE_METHODS.__getitem__,
        key="quantize_method",
        required=True,
        persist_state="session",
        help=(
            "K-means gives each layer a codebook of a few centroids, which tuning can improve."
            " Rounding gives each layer evenly spaced quantization levels, as integer arithmetic"
            " needs them."
        ),
    )
    assert kind is not None  # the line above the widget gives it a value
    return kind
