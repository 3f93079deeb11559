"""Which weights are shown: of which models, of which layer, and how."""

from dataclasses import dataclass

import streamlit as st

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts import model_choice, weights_data

WHOLE = "all"  # in the address
VIEWS = ["Histogram", "Scatter"]
BINS = [50, 100, 200, 400]


@dataclass(frozen=True)
class Asked:
    """What the page shows; `layer` is a parameter's name, or "" for the whole network. Models are called A and B."""

    first: Run
    second: Run | None
    layer: str
    view: str
    bins: int
    log: bool

    @property
    def runs(self) -> list[Run]:
        return [run for run in (self.first, self.second) if run]

    @property
    def names(self) -> list[str]:
        """In charts, in the order of their colours."""
        return [f"{letter}: {run.name}" for letter, run in zip("AB", self.runs, strict=False)]

    @property
    def what(self) -> str:
        return self.layer or "the whole network"


def models(store: RunStore, runs: dict[str, Run]) -> tuple[Run, Run | None]:
    """Draw the choice of the models among `runs`; at first the newest one, beside the model that it was made of."""
    newest = next(iter(runs.values()))
    parent = newest.config.parent if newest.config.parent in runs else None
    left, between, right = st.columns([6, 1.4, 6], vertical_alignment="bottom")
    with left:
        first = model_choice.choose("A, drawn in blue", "a", store, among=runs, default=parent)
    with right:
        second = model_choice.choose("B, drawn in orange", "b", store, among=runs, nothing="Nothing: A alone",
                                     default=newest.id if parent and first.id == parent else None,
                                     help="A model to compare with, such as A after it was quantized.")
    between.button("Swap", icon=":material/swap_horiz:", key="swap", on_click=_swap, help="Swap A and B.",
                   disabled=second is None, width="content")  # last, because it depends on B
    if len(runs) == 1:
        st.caption("There is only one model so far. Quantize it or train another one, to see two beside each other.")
    return first, second


def _swap() -> None:
    st.session_state["a"], st.session_state["b"] = st.session_state["b"], st.session_state["a"]


def options(first: Run, second: Run | None) -> Asked:
    """Draw the choice of the layer and of the picture. Raises UserError for a model whose file is damaged."""
    names = list(dict.fromkeys(name for run in (first, second) if run for name in weights_data.layers(run)))
    with st.container(horizontal=True, vertical_alignment="bottom", key="options"):
        layer = model_choice.mirrored("Layer", "weights_layer", [WHOLE, *names], address="layer", what="layer", help=(
            "Convolutions and linear layers, in the network's order. Or click a row of the table below."),
            format_func=lambda name: "The whole network" if name == WHOLE else name)
        view = st.segmented_control("Picture", VIEWS, default=VIEWS[0], key="plot", required=True, help=(
            "A histogram, where quantized levels are spikes at their exact values; or a point for each value, as the "
            "original drew it."), bind="query-params", persist_state="session")
        bins = st.select_slider("Bins", BINS, 200, key="bins", width=160, disabled=view != VIEWS[0],
                                bind="query-params", persist_state="session", help=(
                                    "Of the histogram, of equal width, for weights whose values do not repeat."))
        log = st.toggle("Log scale", True, key="log", bind="query-params", persist_state="session",
                        help="Numbers of weights on a logarithmic scale, so that rare values are seen.")
    return Asked(first, second, "" if layer == WHOLE else layer, view, bins, log)
