"""The form of a quantization: the fields of its recipe as widgets, whose values the address carries.

A widget's key is the recipe's kind and the field's name, so that both ways keep what was chosen for them.
"""

from collections.abc import Sequence
from typing import get_args

import streamlit as st

from core.config import AffineRecipe, KMeansRecipe, Quantizing, validated
from core.errors import UserError
from core.runs.run import Run
from pages.parts.form import DEVICES

METHODS = {"kmeans": "Share weights (k-means)", "affine": "Round to a grid (bits)"}
# Three epochs of tuning: without any, few clusters ruin most networks.
START: dict[str, Quantizing] = {"kmeans": KMeansRecipe(epochs=3), "affine": AffineRecipe()}
STEPS = [2, 3, 4, 5, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256]
OWN = {"kmeans": {str(number) for number in (0, *range(2, 257))},  # what a layer of its own can have, 0 for float
       "affine": {str(number) for number in (0, *range(2, 9))}}
INITS = get_args(KMeansRecipe.model_fields["init"].annotation)


def refill(run: Run) -> None:
    """Put a run's recipe and its parent into the form; to be called before its widgets are drawn."""
    recipe = run.recipe
    if recipe.kind not in METHODS:
        raise UserError(f"“{run.name}” was not quantized here, so there are no settings to take over.")
    values = recipe.model_dump(exclude={"kind", "layers"})
    st.session_state.update({f"{recipe.kind}_{name}": value for name, value in values.items()})
    st.session_state.update(quantize_method=recipe.kind, run=run.config.parent, layers=dict(recipe.layers),
                            layers_of=f"{run.config.parent} {recipe.kind}")


def draw(shapes: dict[str, list[int]], parent: str) -> Quantizing:
    """Draw the form; the recipe that it describes for a model with tensors of these shapes. Raises UserError."""
    state = st.session_state
    if state.get("quantize_method") not in METHODS:
        asked = st.query_params.get("method")
        state["quantize_method"] = asked if asked in METHODS else "kmeans"
    st.segmented_control("Method", METHODS, format_func=METHODS.get, key="quantize_method", required=True,
                         persist_state="session", help=(
        "Sharing gives each layer a few values of its own choice, and can be tuned. Rounding gives it evenly spaced "
        "ones, as integer arithmetic wants them."))
    kind = state["quantize_method"]
    if st.query_params.get("method") != kind:
        st.query_params["method"] = kind
    _sharing() if kind == "kmeans" else _rounding()
    _toggle(kind, "batchnorm", "BatchNorm weights too")
    st.caption("Off, because they are few, so that it saves next to nothing, and each scales a whole channel, so that "
               "it costs accuracy. The original scripts had it on.")
    with st.expander("More settings", icon=":material/tune:"):
        _more(kind)
    values = {name: state[f"{kind}_{name}"] for name in type(START[kind]).model_fields
              if name not in ("kind", "layers")}
    deepest = 0 if values["batchnorm"] else 1  # BatchNorm's weights have one axis
    layers = {name: choice for name, choice in choices(parent, kind).items() if len(shapes.get(name, ())) > deepest}
    return validated(type(START[kind]), values | {"layers": layers})


def choices(parent: str, kind: str) -> dict[str, int]:
    """The layers that have clusters or bits of their own: a dict to change. The address carries it, too."""
    state, owner = st.session_state, f"{parent} {kind}"
    if "layers" not in state:
        state["layers"], state["layers_of"] = _parsed(st.query_params.get("layers", ""), kind), owner
    if state["layers_of"] != owner:
        state["layers"], state["layers_of"] = {}, owner
    text = ",".join(f"{name}:{choice}" for name, choice in state["layers"].items())
    if st.query_params.get("layers", "") != text:
        if text:
            st.query_params["layers"] = text
        else:
            del st.query_params["layers"]
    return state["layers"]


def _parsed(text: str, kind: str) -> dict[str, int]:
    """The settings in an address, without those that cannot be: there would be no way to take them back."""
    pairs = (item.rpartition(":") for item in text.split(",") if item)
    return {name: int(choice) for name, _, choice in pairs if choice in OWN[kind]}


def _sharing() -> None:
    state = st.session_state
    clusters = state.get("kmeans_clusters") or _asked("kmeans_clusters") or START["kmeans"].clusters
    state["step_of_clusters"] = min(STEPS, key=lambda step: abs(step - clusters))
    slider, exact = st.columns([3, 1], vertical_alignment="bottom")
    slider.select_slider("Clusters: the values that a layer's weights share", STEPS, key="step_of_clusters",
                         on_change=lambda: state.update(kmeans_clusters=state["step_of_clusters"]),
                         help=_help("kmeans", "clusters"))
    _number(exact, "kmeans", "clusters", "Exactly")
    left, right = st.columns(2)
    _number(left, "kmeans", "epochs", "Epochs of tuning")
    _number(right, "kmeans", "train_images", "Images an epoch", 1000, placeholder="all")


def _asked(key: str) -> int | None:
    text = st.query_params.get(key, "")
    return int(text) if text in OWN["kmeans"] else None


def _rounding() -> None:
    st.select_slider("Bits a weight", range(2, 9), START["affine"].bits, key="affine_bits", bind="query-params",
                     persist_state="session", help=_help("affine", "bits"))


def _more(kind: str) -> None:
    left, right = st.columns(2)
    if kind == "kmeans":
        _choice(left, kind, "init", "Start of the clustering", INITS)
        _number(right, kind, "lr", "Learning rate of tuning", 0.001)
        _number(left, kind, "batch_size", "Batch size of tuning", 32)
        _number(right, kind, "seed", "Seed")
        _toggle(kind, "keep_zeros", "Pruned weights stay 0")
    else:
        _choice(left, kind, "range", "Range", ("minmax", "mse"))
        _number(right, kind, "seed", "Seed")
        _toggle(kind, "per_channel", "A scale for every output channel")
        _toggle(kind, "symmetric", "Symmetric about 0")
    _toggle(kind, "recalibrate", "Re-estimate BatchNorm's statistics")
    left, right = st.columns(2)
    _choice(left, kind, "rest", "Other numbers in the packed file", ("float32", "float16"))
    _choice(right, kind, "device", "Device", DEVICES, accept_new_options=True)


def _number(place, kind: str, name: str, label: str, step: float = 1, **more) -> None:
    """A number input with the field's first value, bounds and description."""
    field, start = type(START[kind]).model_fields[name], getattr(START[kind], name)
    whole = "int" in str(field.annotation)
    bounds = {bound: getattr(item, bound) for item in field.metadata for bound in ("ge", "gt", "le", "lt")
              if hasattr(item, bound)}
    low, high = bounds.get("ge", bounds.get("gt")), bounds.get("le", bounds.get("lt"))
    if whole:
        high = min(high, 2**53 - 1) if high else None  # what a browser counts to
    number = int if whole else float
    place.number_input(label, None if low is None else number(low), None if high is None else number(high), start,
                       number(step), format=None if whole else "%g", key=f"{kind}_{name}", bind="query-params",
                       persist_state="session", help=field.description, **more)


def _choice(place, kind: str, name: str, label: str, options: Sequence[str], **more) -> None:
    place.selectbox(label, options, options.index(getattr(START[kind], name)), key=f"{kind}_{name}",
                    bind="query-params", persist_state="session", help=_help(kind, name), **more)


def _toggle(kind: str, name: str, label: str) -> None:
    st.toggle(label, getattr(START[kind], name), key=f"{kind}_{name}", bind="query-params", persist_state="session",
              help=_help(kind, name))


def _help(kind: str, name: str) -> str:
    return type(START[kind]).model_fields[name].description
