"""The picked candidate of a search: what each layer gets, and what can be done with it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import streamlit as st

from core.errors import UserError
from core.runs.budget import TriedCandidate
from core.runs.layer_choices import LayerChoices, only_unit
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.budget.given_choice import layers_text
from pages.parts.quantize.model import tensor_shapes

_COLUMNS = {
    "layer": st.column_config.TextColumn("Layer", pinned=True),
    "choice": st.column_config.TextColumn("Choice"),
    "index_bits": st.column_config.NumberColumn(
        "Bits of an index",
        format="%.2f",
        help="Of 5 clusters it is the logarithm of 5 to the base 2. The file codes them shorter.",
    ),
    "weights": st.column_config.NumberColumn("Weights", format="localized"),
    "damage": st.column_config.NumberColumn(
        "KL, alone (nats)",
        format="%.3g",
        help=(
            "KL divergence from the float network's answers if this layer alone has this choice,"
            " measured before the search."
        ),
    ),
    "least_damage": st.column_config.NumberColumn(
        "KL, smallest option (nats)",
        format="%.3g",
        help="The same if this layer alone has its smallest option: how sensitive it is.",
    ),
}
_MIXED = (
    "A quantization has either clusters or bits. This choice mixes them, or removes weights, so it"
    " does not go into the Quantize form: **Take this choice** makes it as it is."
)


def pick(run_id: str, number: int) -> None:
    """Pick a candidate of a run by its number."""
    st.session_state[_key(run_id)] = number


def picked_number(run_id: str, count: int, default: int) -> int:
    """Return the number of the picked candidate; the default as long as nobody picked one."""
    number: int = st.session_state.get(_key(run_id), default)
    return number if 1 <= number <= count else default


def draw_picked(
    store: RunStore,
    run: Run,
    tried: Sequence[TriedCandidate],
    picked: TriedCandidate,
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    """Draw the choice of a candidate, its layers, and the buttons that use it.

    measured: the options of each layer as in the event LayersMeasured, empty if not known.
    """
    st.subheader("What each layer gets", anchor=False)
    with st.container(horizontal=True, vertical_alignment="bottom", key="picked_candidate"):
        _draw_choice(run, tried, picked)
        if run.config.parent is not None:
            _draw_take(run.config.parent, picked.layers)
            _draw_quantize(run.config.parent, picked.layers)
    if only_unit(picked.layers) is None:
        st.caption(_MIXED)
    _draw_layers(picked.layers, _weights(store, run), measured)


def candidate_text(made: TriedCandidate) -> str:
    """Return a candidate in one line, with its units."""
    text = f"{made.number}: {made.bytes:,} bytes · {made.divergence:.4f} nats"
    if made.lost is not None and made.most_lost is not None:
        text += f" · {made.lost:.2f} points lost, at most {made.most_lost:.2f}"
    return f"{text} · epochs of tuning: {made.epochs}" if made.epochs else text


def _key(run_id: str) -> str:
    return f"candidate_of_{run_id}"


def _draw_choice(run: Run, tried: Sequence[TriedCandidate], picked: TriedCandidate) -> None:
    """Draw all candidates as a list, the smallest first. While the run works, name the picked one.

    A list that gets longer would choose by itself: the browser sends its old value back, as if a
    person had chosen it. Points of the chart can be clicked all the time.
    """
    if run.active:
        st.markdown(f"Candidate **{candidate_text(picked)}**", width="stretch")
        return
    by_number = {made.number: made for made in sorted(tried, key=lambda made: made.bytes)}
    key = f"candidate_{run.id}"
    st.session_state[key] = picked.number
    st.selectbox(
        "Candidate",
        list(by_number),
        format_func=lambda number: candidate_text(by_number[number]),
        key=key,
        on_change=lambda: pick(run.id, st.session_state[key]),
        help="Its number, the size of its packed file, and the KL divergence of its answers.",
    )


def _draw_take(parent: str, layers: LayerChoices) -> None:
    clicked = st.button(
        "Take this choice",
        icon=":material/check:",
        key="take_choice",
        help="Opens the form of a budget with this choice for each layer, in place of a search.",
    )
    if clicked:
        address = {"run": parent, "layers": layers_text(layers)}
        st.switch_page("pages/budget.py", query_params=address)


def _draw_quantize(parent: str, layers: LayerChoices) -> None:
    """Draw the button that opens the Quantize form, which has clusters or bits but not both."""
    unit = only_unit(layers)
    clicked = st.button(
        "Open in Quantize",
        icon=":material/grain:",
        key="choice_in_quantize",
        disabled=unit is None,
        help="Fills the form of a quantization with this choice for each layer.",
    )
    if clicked and unit is not None:
        st.switch_page("pages/quantize.py", query_params=quantize_address(parent, layers, unit))


def quantize_address(parent: str, layers: LayerChoices, unit: str) -> dict[str, str]:
    """Return the address of the Quantize form with this choice. unit: "clusters" or "bits"."""
    numbers = ",".join(f"{name}:{choice[unit]:g}" for name, choice in layers.items())
    method = "kmeans" if unit == "clusters" else "affine"
    return {"run": parent, "method": method, "layers": numbers}


def _draw_layers(
    layers: LayerChoices,
    weights: Mapping[str, int],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
) -> None:
    from core.charts import layer_choices as charts  # imports altair

    table = charts.choice_table(layers, weights, measured)
    left, right = st.columns(2, gap="medium")
    alt = charts.choice_alt_text(table)
    left.altair_chart(charts.choice_chart(table), key="choice_bars", alt=alt)
    right.altair_chart(charts.sensitivity_of_choice_chart(table), key="choice_sensitivity", alt=alt)
    with st.expander("As a table", icon=":material/table_rows:"):
        known = [name for name in _COLUMNS if table[name].notna().any()]
        st.dataframe(
            pd.DataFrame(table[known]),
            hide_index=True,
            key="choice_table",
            column_config=_COLUMNS,
            alt=alt,
        )


def _weights(store: RunStore, run: Run) -> dict[str, int]:
    """Return the number of weights of each layer; empty if the parent is gone."""
    try:
        shapes = tensor_shapes(store.get(run.config.parent or ""))
    except UserError:
        return {}
    return {name: math.prod(shape) for name, shape in shapes.items()}
