"""One figure of each layer of the chosen runs, side by side, as a chart and as a table."""

from collections import Counter
from collections.abc import Mapping, Sequence

import pandas as pd
import streamlit as st

from core.runs.comparison.compared import ComparedRun
from core.runs.comparison.layers import LAYER_METRICS, LayerFigures
from core.runs.run import Run
from pages.parts.compare.cached import compare, layers_of_run
from pages.parts.compare.picked import picked_ids
from pages.parts.compare.picture import draw_chart
from pages.parts.compare.views.words import draw_colour_note
from pages.parts.shared.address import address_selectbox

_FORMATS = {"density": "percent", "bits": "%.2f", "snr": "%.1f"}


def draw_layers(chosen: Sequence[Run], runs_by_id: Mapping[str, Run]) -> None:
    """Draw the choice of the figure, the chart and the table."""
    from core.charts.compare.layers import layers_chart, layers_table  # imports altair

    with st.container(horizontal=True, vertical_alignment="bottom", key="compare_layer_options"):
        chosen = _choose_network(chosen)
        name = _choose_figure()
    runs = compare(chosen, runs_by_id)
    layers = _layers_by_run(runs)
    names = {run.id: run.name for run in runs}
    table = layers_table(layers, names, name)
    ids = set(table["id"])
    drawn = [run for run in runs if run.id in ids]
    _draw_without_figure(len(runs) - len(drawn), name)
    if not drawn:
        return
    metric = LAYER_METRICS[name]
    alt = f"{metric.title} of each layer of {len(drawn)} runs"
    picked = picked_ids()
    chart = layers_chart(table, draw_colour_note(drawn, picked), name, picked)
    draw_chart(chart, "layers", alt)
    _draw_table(table, names, name, alt)


def _choose_network(chosen: Sequence[Run]) -> list[Run]:
    """Return the chosen runs of one network, of which there is a choice if there are several."""
    networks = [name for name, _ in Counter(run.model for run in chosen).most_common()]
    network = networks[0]
    if len(networks) > 1:
        network = address_selectbox(
            "Network",
            "compare_layers_of",
            networks,
            what="network",
            address="layers_of",
            width=220,
            help="Layers can be compared within one network only.",
        )
    return [run for run in chosen if run.model == network]


def _choose_figure() -> str:
    return address_selectbox(
        "Figure of each layer",
        "compare_layer",
        list(LAYER_METRICS),
        what="figure",
        address="layer",
        format_func=lambda name: LAYER_METRICS[name].title,
        width=220,
        help=" ".join(f"{metric.title}: {metric.description}" for metric in LAYER_METRICS.values()),
    )


def _layers_by_run(runs: Sequence[ComparedRun]) -> dict[str, dict[str, LayerFigures]]:
    """Return the figures of each layer by the id of the run.

    A dense network wrote none down. It has the layers of the other runs, with all their weights.
    """
    layers = {run.id: layers_of_run(run.lineage) for run in runs}
    most = max(layers.values(), key=len)
    for run in runs:
        if not layers[run.id] and run.figures.density == 1:
            layers[run.id] = {
                name: LayerFigures(layer.weights, layer.weights) for name, layer in most.items()
            }
    return layers


def _draw_without_figure(count: int, name: str) -> None:
    if count:
        verb = "run has" if count == 1 else "runs have"
        reason = "" if name == "density" else ", because only quantization makes it"
        st.caption(f"{count} chosen {verb} no {LAYER_METRICS[name].title} for layers{reason}.")


def _draw_table(table: pd.DataFrame, names: Mapping[str, str], name: str, alt: str) -> None:
    """Draw a row for each layer, and a column for each run. names: the runs' names, by id."""
    layers = list(dict.fromkeys(table.sort_values("place")["layer"]))
    ids = list(dict.fromkeys(table["id"]))
    wide = table.pivot(index="layer", columns="id", values="value").loc[layers, ids]
    number_format = _FORMATS.get(name, "localized")
    columns = {
        run_id: st.column_config.NumberColumn(names[run_id], format=number_format) for run_id in ids
    }
    st.dataframe(
        wide.reset_index(),
        hide_index=True,
        column_config={"layer": st.column_config.TextColumn("Layer", pinned=True), **columns},
        placeholder="—",
        key="compare_layers_table",
        alt=alt,
    )
