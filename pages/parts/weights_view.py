"""The chosen weights: in figures, as the main picture, and the error of B against A; each to take along."""

import math
from collections.abc import Callable, Mapping
from functools import partial

import streamlit as st

from core.inspect.distributions import Drawn
from pages.parts import weights_data
from pages.parts.states import plain
from pages.parts.weights_choice import Asked


def draw(asked: Asked) -> None:
    """Draw all of it. Raises UserError for weights that are not finite."""
    from core.charts import distributions  # brings altair, which an empty page does not need

    found = weights_data.compare(asked.first, asked.second, asked.layer, asked.bins)
    shown = {name: model for name, model in zip(asked.names, found.models, strict=True) if model}
    _figures(asked, shown)
    for name in asked.names:
        if name not in shown:
            st.info(f"{plain(name)} has no layer {plain(asked.layer)}.", icon=":material/hide_source:")
    st.altair_chart(distributions.chart(shown, asked.names, asked.view, asked.log), key="distribution",
                    alt=distributions.described(shown, f"{asked.view} of the weights of {asked.what}"))
    st.caption(f"{_counted(asked, shown)} Turn the wheel over the picture to zoom, drag to move, double-click to go "
               "back.")
    _downloads(asked, shown, asked.names, asked.view, "weights", f"Weights of {asked.what}", "weight value")
    if asked.second:
        _error(asked, found.error, found.why)


def _figures(asked: Asked, shown: Mapping[str, Drawn]) -> None:
    """What there is, the last model's beside the first one's."""
    one, *_, last = [item.summary for item in shown.values()] * 2
    both = len(shown) == 2

    def beside(label: str, form: Callable, help: str) -> None:
        st.metric(label, form(last), f"A: {form(one)}" if both else None, delta_color="off", delta_arrow="off",
                  border=True, help=help)

    with st.container(horizontal=True, key="figures"):
        beside("Weights", lambda item: f"{item.numbers:,}", f"Of {asked.what}.")
        beside("Different values", lambda item: f"{item.unique:,}", "Zero is one of them, if there are zeros.")
        beside("Zeros", lambda item: f"{item.zeros / item.numbers:.2%}", "Weights that are exactly 0, such as pruned "
               "ones. An arrow points to them in the picture; its bars and points leave them out.")
        beside("Range", lambda item: f"{item.low:.3g} … {item.high:.3g}", "The least and the greatest weight.")
        if both and asked.second:
            ratio = weights_data.ratios(asked.first, asked.second).get(asked.layer)
            st.metric("SNR of B", decibels(ratio), "against A", delta_color="off", delta_arrow="off", border=True,
                      help="Signal-to-noise ratio: A's weights against their change in B. Six decibels are about one "
                           "bit of precision.")


def decibels(ratio: float | None) -> str:
    """A ratio as a person reads it: a dash where there is none, and no number where nothing was lost."""
    return "—" if ratio is None else "lossless" if ratio == math.inf else f"{ratio:.1f} dB"


def _counted(asked: Asked, shown: Mapping[str, Drawn]) -> str:
    """How the marks came about."""
    how = {}
    for name, drawn in shown.items():
        marks = drawn.scatter if asked.view == "Scatter" else drawn.histogram
        how[name.partition(":")[0]] = marks.how + (" values" if marks.exact else "") if len(marks.low) else "all zero"
    return "; ".join(f"{letter}: {words}" for letter, words in how.items()) + "."


def _error(asked: Asked, error: Drawn | None, why: str) -> None:
    from core.charts import distributions

    st.subheader("Error: B − A", anchor=False)
    if error is None:
        st.info(why, icon=":material/difference:")
    elif error.summary.zeros == error.summary.numbers:
        st.info(f"None: all {error.summary.numbers:,} weights are the same in A and in B.", icon=":material/equal:")
    else:
        names, shown = [*asked.names, distributions.ERROR], {distributions.ERROR: error}
        st.altair_chart(distributions.chart(shown, names, "Histogram", asked.log, "Error of the weight, B − A", 280),
                        key="error", alt=distributions.described(shown, f"Histogram of the error of {asked.what}"))
        _downloads(asked, shown, names, "Histogram", "error", f"Error of {asked.what}, B − A", "error of the weight")


def _downloads(asked: Asked, shown: Mapping[str, Drawn], names: list[str], view: str, kind: str, title: str, x: str
               ) -> None:
    """Buttons whose files are made when they are asked for."""
    from core.charts import distributions

    stem = f"{kind}-{'-'.join(run.id for run in asked.runs)}-{asked.layer or 'all'}"
    picture = partial(_picture, shown, names, view, asked.log, title, x)
    with st.container(horizontal=True, key=f"downloads_{kind}"):
        for label, form, content, text in (
                ("CSV", "csv", partial(distributions.csv, shown, view), "The numbers behind the picture, zeros "
                                                                        "included."),
                ("PNG", "png", partial(picture, "png"), "The picture in pixels."),
                ("SVG", "svg", partial(picture, "svg"), "The picture for print, sharp at any size.")):
            st.download_button(label, content, f"{stem}.{form}", icon=":material/download:", key=f"{kind}_{form}",
                               on_click="ignore", help=text, width="content")


def _picture(shown: Mapping[str, Drawn], names: list[str], view: str, log: bool, title: str, x: str, kind: str
             ) -> bytes:
    from core.charts import distributions
    from core.charts.mosaics import encoded

    return encoded(distributions.figure(shown, names, view, log, title, x), kind)
