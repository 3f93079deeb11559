"""The settings of a quantization method as widgets, whose values the address carries.

The key of a widget is the recipe's kind and the field's name, so that each method keeps its own
settings.
"""

from collections.abc import Sequence
from typing import Any, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe
from core.forecast.tuning import USUAL_EPOCHS
from pages.parts.quantize.tuning import (
    TuningCost,
    default_tuning,
    draw_more_tuning,
    start_with_default_tuning,
)
from pages.parts.shared.address import (
    choice_parser,
    keep_in_address,
    number_parser,
    parse_flag,
)
from pages.parts.shared.fields import DEVICES, help_text, number_field

_DEFAULT_KMEANS = KMeansRecipe(epochs=USUAL_EPOCHS)
_DEFAULT_AFFINE = AffineRecipe()
DEFAULT_QUANTIZE_RECIPES: dict[str, QuantizeRecipe] = {
    "kmeans": _DEFAULT_KMEANS,
    "affine": _DEFAULT_AFFINE,
}

_CLUSTER_STEPS = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
_BITS = range(2, 9)
_INITS = get_args(KMeansRecipe.model_fields["init"].annotation)
_RANGES = get_args(AffineRecipe.model_fields["range"].annotation)
_FLOAT_TYPES = get_args(KMeansRecipe.model_fields["rest"].annotation)


def draw_method_settings(kind: str, cost: TuningCost | None) -> None:
    """Draw the settings of the method "kmeans" or "affine". cost: of tuning the model."""
    if kind == "kmeans":
        _draw_clusters()
        _draw_tuning(cost)
    else:
        _draw_bits()
    _draw_toggle(kind, "batchnorm", "BatchNorm weights too")
    st.caption(
        "This is off at first. BatchNorm's weights are few, so quantizing them saves next to"
        " nothing. Each scales a whole channel, so it costs accuracy. The original scripts had it"
        " on."
    )
    with st.expander("More settings", icon=":material/tune:"):
        _draw_more_settings(kind)


# -- what a method is mainly about --


def _draw_clusters() -> None:
    """Draw a slider over common numbers of clusters, and a field for any number."""
    state = st.session_state
    keep_in_address("kmeans_clusters", _DEFAULT_KMEANS.clusters, number_parser(int, 2, 256))
    clusters = state["kmeans_clusters"]
    state["step_of_clusters"] = min(_CLUSTER_STEPS, key=lambda step: abs(step - clusters))
    slider, exact = st.columns([3, 1], vertical_alignment="bottom")
    slider.select_slider(
        "Clusters: the values that a layer's weights share",
        _CLUSTER_STEPS,
        key="step_of_clusters",
        on_change=_take_clusters_of_slider,
        help=help_text(KMeansRecipe, "clusters"),
    )
    _draw_number(exact, "kmeans", "clusters", "Exactly")


def _take_clusters_of_slider() -> None:
    st.session_state["kmeans_clusters"] = st.session_state["step_of_clusters"]


def _draw_tuning(cost: TuningCost | None) -> None:
    default = default_tuning(cost)
    start_with_default_tuning(default)
    left, right = st.columns(2)
    _draw_number(left, "kmeans", "epochs", "Epochs of tuning", value=default.epochs)
    _draw_number(
        right,
        "kmeans",
        "train_images",
        "Images an epoch",
        1000,
        value=default.train_images,
        placeholder="all",
    )
    draw_more_tuning(cost, default)


def _draw_bits() -> None:
    keep_in_address("affine_bits", _DEFAULT_AFFINE.bits, choice_parser(_BITS))
    st.select_slider(
        "Bits a weight",
        _BITS,
        _DEFAULT_AFFINE.bits,
        key="affine_bits",
        persist_state="session",
        help=help_text(AffineRecipe, "bits"),
    )


# -- more settings --


def _draw_more_settings(kind: str) -> None:
    left, right = st.columns(2)
    if kind == "kmeans":
        _draw_choice(left, kind, "init", "Start of the clustering", _INITS)
        _draw_number(right, kind, "lr", "Learning rate of tuning", 0.001)
        _draw_number(left, kind, "batch_size", "Batch size of tuning", 32)
        _draw_number(right, kind, "seed", "Seed")
        _draw_toggle(kind, "keep_zeros", "Pruned weights stay 0")
    else:
        _draw_choice(left, kind, "range", "Range", _RANGES)
        _draw_number(right, kind, "seed", "Seed")
        _draw_toggle(kind, "per_channel", "A scale for every output channel")
        _draw_toggle(kind, "symmetric", "Symmetric about 0")
    _draw_toggle(kind, "recalibrate", "Re-estimate BatchNorm's statistics")
    left, right = st.columns(2)
    _draw_choice(left, kind, "rest", "Other numbers in the packed file", _FLOAT_TYPES)
    _draw_choice(right, kind, "device", "Device", DEVICES, accept_new_options=True)


# -- one field of a recipe as a widget --


def _draw_number(
    place: DeltaGenerator, kind: str, name: str, label: str, step: float = 1, **options: Any
) -> None:
    recipe = DEFAULT_QUANTIZE_RECIPES[kind]
    number_field(
        place,
        type(recipe),
        name,
        step,
        key=f"{kind}_{name}",
        label=label,
        **({"value": getattr(recipe, name)} | options),
    )


def _draw_choice(
    place: DeltaGenerator, kind: str, name: str, label: str, choices: Sequence[str], **options: Any
) -> None:
    recipe = DEFAULT_QUANTIZE_RECIPES[kind]
    default = getattr(recipe, name)
    parse = str if options.get("accept_new_options") else choice_parser(choices)
    keep_in_address(f"{kind}_{name}", default, parse)
    place.selectbox(
        label,
        choices,
        choices.index(default),
        key=f"{kind}_{name}",
        persist_state="session",
        help=help_text(type(recipe), name),
        **options,
    )


def _draw_toggle(kind: str, name: str, label: str) -> None:
    recipe = DEFAULT_QUANTIZE_RECIPES[kind]
    default = getattr(recipe, name)
    keep_in_address(f"{kind}_{name}", default, parse_flag)
    st.toggle(
        label,
        default,
        key=f"{kind}_{name}",
        persist_state="session",
        help=help_text(type(recipe), name),
    )
