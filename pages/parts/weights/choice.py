"""The choice of models, layer and picture on the weights page."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared import model_choice
from pages.parts.shared.address import (
    address_selectbox,
    choice_parser,
    keep_choice_in_address,
    keep_in_address,
    parse_flag,
)
from pages.parts.weights.cached import weight_shapes

if TYPE_CHECKING:
    from core.charts.distributions import DistributionView

ALL_LAYERS = "all"  # the value of ?layer= that stands for all layers together
_PICTURES: "list[DistributionView]" = ["Histogram", "Scatter"]
_BINS = [50, 100, 200, 400]
_USUAL_BINS = 200


@dataclass(frozen=True)
class WeightsChoice:
    """The models, the layer and the kind of picture that the user has chosen.

    first: Model A.
    second: Model B, or None if there is nothing to compare with.
    layer: The name of a weight, or "" for the whole network.
    picture: The kind of picture, a histogram or a scatter plot.
    bins: The number of bins in a histogram.
    log: Whether the axis that counts the weights is logarithmic.
    """

    first: Run
    second: Run | None
    layer: str
    picture: "DistributionView"
    bins: int
    log: bool

    @property
    def runs(self) -> list[Run]:
        """The chosen models, A first."""
        return [self.first] if self.second is None else [self.first, self.second]

    @property
    def names(self) -> list[str]:
        """The models' names in charts, in the order of their colours."""
        return [f"{letter}: {run.name}" for letter, run in zip("AB", self.runs, strict=False)]

    @property
    def layer_in_words(self) -> str:
        """The layer's name for sentences and titles."""
        return self.layer or "the whole network"


def choose_two_models(store: RunStore, runs: dict[str, Run]) -> tuple[Run, Run | None]:
    """Draw the choice of model A and model B among `runs`, which must not be empty.

    At first B is the newest model and A the model that it was made from. If the newest model was
    not made from another one, it is A, and B is left open.
    """
    newest = next(iter(runs.values()))
    parent = newest.config.parent if newest.config.parent in runs else None
    left, between, right = st.columns([6, 1.4, 6], vertical_alignment="bottom")
    with left:
        first = model_choice.choose_model(
            "A, drawn in blue", "a", store, among=runs, default=parent
        )
    assert first is not None  # because `runs` is not empty
    with right:
        second = model_choice.choose_model(
            "B, drawn in orange",
            "b",
            store,
            among=runs,
            nothing="Nothing: A alone",
            default=newest.id if parent == first.id else None,
            help="A model to compare with, such as A after it was quantized.",
        )
    _draw_swap_button(between, second)  # drawn last, because it depends on B
    if len(runs) == 1:
        st.caption(
            "There is only one model so far. Quantize it or train another one to compare the two."
        )
    return first, second


def choose_layer_and_picture(first: Run, second: Run | None) -> WeightsChoice:
    """Draw the choice of the layer and of the picture. Raises UserError for a damaged file."""
    names = list(weight_shapes(first))
    if second is not None:
        names += [name for name in weight_shapes(second) if name not in names]
    with st.container(horizontal=True, vertical_alignment="bottom", key="options"):
        layer = _choose_layer(names)
        picture = _choose_picture()
        bins = _choose_bins(disabled=picture != "Histogram")
        log = _choose_log_scale()
    return WeightsChoice(
        first=first,
        second=second,
        layer="" if layer == ALL_LAYERS else layer,
        picture=picture,
        bins=bins,
        log=log,
    )


def _draw_swap_button(place: DeltaGenerator, second: Run | None) -> None:
    place.button(
        "Swap",
        icon=":material/swap_horiz:",
        key="swap",
        on_click=_swap_models,
        help="Swap A and B.",
        disabled=second is None,
        width="content",
    )


def _swap_models() -> None:
    state = st.session_state
    state["a"], state["b"] = state["b"], state["a"]


def _choose_layer(names: list[str]) -> str:
    return address_selectbox(
        "Layer",
        "weights_layer",
        [ALL_LAYERS, *names],
        address="layer",
        what="layer",
        help=(
            "The convolution and linear layers are listed in the network's order. You can also"
            " click a row of the table below."
        ),
        format_func=lambda name: "The whole network" if name == ALL_LAYERS else name,
    )


def _choose_picture() -> "DistributionView":
    keep_choice_in_address("plot", _PICTURES, _PICTURES[0], what="picture")
    return st.segmented_control(
        "Picture",
        _PICTURES,
        default=_PICTURES[0],
        key="plot",
        required=True,
        persist_state="session",
        help=(
            "A histogram shows quantization levels as spikes at their exact values. A scatter plot"
            " draws a point for each value."
        ),
    )


def _choose_bins(disabled: bool) -> int:
    keep_in_address("bins", _USUAL_BINS, choice_parser(_BINS))
    return st.select_slider(
        "Bins",
        _BINS,
        _USUAL_BINS,
        key="bins",
        width=160,
        disabled=disabled,
        persist_state="session",
        help=(
            "The number of bins of equal width in the histogram. Weights that are quantized are"
            " counted by value instead."
        ),
    )


def _choose_log_scale() -> bool:
    keep_in_address("log", True, parse_flag)
    return st.toggle(
        "Log scale",
        True,
        key="log",
        persist_state="session",
        help="Counts the weights on a logarithmic scale, so that rare values are visible.",
    )
