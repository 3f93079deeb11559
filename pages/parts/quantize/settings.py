"""The settings of a quantization method as widgets, whose values the address carries.

The key of a widget is the recipe's kind and the field's name, so that each method keeps its own
settings.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.config import AffineRecipe, KMeansRecipe, QuantizeKind, QuantizeRecipe
from core.forecast.tuning import USUAL_EPOCHS
from core.runs.run import Run
from pages.parts.quantize.rounding import describe_rounding
from pages.parts.quantize.tuning import (
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
from pages.parts.shared.tuning_cost import TuningCost, tuning_cost

_DEFAULT_KMEANS = KMeansRecipe(epochs=USUAL_EPOCHS)
_DEFAULT_AFFINE = AffineRecipe()
DEFAULT_QUANTIZE_RECIPES: dict[QuantizeKind, QuantizeRecipe] = {
    "kmeans": _DEFAULT_KMEANS,
    "affine": _DEFAULT_AFFINE,
}

_CLUSTER_STEPS = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
_BITS = range(2, 9)
_INITS = get_args(KMeansRecipe.model_fields["init"].annotation)
_RANGES = get_args(AffineRecipe.model_fields["range"].annotation)
_FLOAT_TYPES = get_args(KMeansRecipe.model_fields["rest"].annotation)
_ROUNDINGS = {"compensated": "Compensated", "nearest": "Nearest"}
_RECALIBRATIONS = {"auto": "As far as it helps", True: "Yes", False: "No"}


def draw_method_settings(
    kind: QuantizeKind, parent: Run, shapes: Mapping[str, tuple[int, ...]], root: Path
) -> None:
    """Draw the settings of the method "kmeans" or "affine".

    parent, shapes: The model's run, and the shapes of its tensors by name. root: The folder of the
    data sets.
    """
    if kind == "kmeans":
        _draw_clusters()
    else:
        _draw_bits()
    _draw_segments(kind, "rounding", "Rounding", _ROUNDINGS)
    rounding_note = st.empty()
    _draw_tuning(kind, tuning_cost(parent, root))
    _draw_toggle(kind, "batchnorm", "BatchNorm weights too")
    st.caption(
        "This is off at first. BatchNorm's weights are few, so quantizing them saves next to"
        " nothing. Each scales a whole channel, so it costs accuracy. The original scripts had it"
        " on."
    )
    with st.expander("More settings", icon=":material/tune:"):
        _draw_more_settings(kind)
    state = st.session_state
    is_compensated = state[f"{kind}_rounding"] == "compensated"
    images = state[f"{kind}_round_images"]
    rounding_note.caption(describe_rounding(kind, is_compensated, images, parent, shapes, root))


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


def _draw_tuning(kind: QuantizeKind, cost: TuningCost | None) -> None:
    default = default_tuning(kind, cost)
    start_with_default_tuning(kind, default)
    left, right = st.columns(2)
    _draw_number(left, kind, "epochs", "Epochs of tuning", value=default.epochs)
    _draw_number(
        right,
        kind,
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


def _draw_more_settings(kind: QuantizeKind) -> None:
    left, right = st.columns(2)
    if kind == "kmeans":
        _draw_choice(left, kind, "init", "Start of the clustering", _INITS)
    else:
        _draw_choice(left, kind, "range", "Range", _RANGES)
    _draw_number(right, kind, "seed", "Seed")
    _draw_number(left, kind, "lr", "Learning rate of tuning", 0.001)
    _draw_number(right, kind, "batch_size", "Batch size of tuning", 32)
    if kind == "kmeans":
        _draw_toggle(kind, "keep_zeros", "Pruned weights stay 0")
    else:
        _draw_toggle(kind, "per_channel", "A scale for every output channel")
        _draw_toggle(kind, "symmetric", "Symmetric about 0")
    _draw_segments(kind, "recalibrate", "Re-estimate BatchNorm's statistics", _RECALIBRATIONS)
    _draw_number(
        st.container(),
        kind,
        "round_images",
        "Images for compensated rounding",
        256,
        disabled=st.session_state[f"{kind}_rounding"] == "nearest",
    )
    left, right = st.columns(2)
    _draw_choice(left, kind, "rest", "Other numbers in the packed file", _FLOAT_TYPES)
    _draw_choice(right, kind, "device", "Device", DEVICES, accept_new_options=True)


# -- one field of a recipe as a widget --


def _draw_number(
    place: DeltaGenerator,
    kind: QuantizeKind,
    name: str,
    label: str,
    step: float = 1,
    **options: Any,
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
    place: DeltaGenerator,
    kind: QuantizeKind,
    name: str,
    label: str,
    choices: Sequence[str],
    **options: Any,
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


def _draw_segments(kind: QuantizeKind, name: str, label: str, labels: Mapping[Any, str]) -> None:
    """Draw a segmented control. labels: what each possible value is called."""
    recipe = DEFAULT_QUANTIZE_RECIPES[kind]
    keep_in_address(f"{kind}_{name}", getattr(recipe, name), choice_parser(labels))
    st.segmented_control(
        label,
        list(labels),
        format_func=labels.__getitem__,
        key=f"{kind}_{name}",
        required=True,
        persist_state="session",
        help=help_text(type(recipe), name),
    )


def _draw_toggle(kind: QuantizeKind, name: str, label: str) -> None:
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
