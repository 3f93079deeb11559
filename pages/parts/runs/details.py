"""The details of one run in tabs: layers, bytes, pace, log, settings and command."""

from collections.abc import Callable, Iterator
from typing import Any

import pandas as pd
import streamlit as st
from pydantic import BaseModel

from core.commands.command_of import command_of
from core.commands.latency import latency_command
from core.compress.packed import ledger
from core.config import (
    AnswersRecipe,
    ImportRecipe,
    Int8Recipe,
    LatencyRecipe,
    LayerDensities,
    PruneRecipe,
    TrainRecipe,
)
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.columns import OUTPUT_ERROR_COLUMNS, QUANTIZED_LAYER_COLUMNS
from pages.parts.shared.words import levels, plain

_LOG_CHARACTERS = 20_000
_LOG_LINES = 200


def draw_details(store: RunStore, run: Run) -> None:
    """Draw the tabs of this kind of run. Only the open tab is computed."""
    tabs = _tabs(run)
    places = st.tabs(list(tabs), key="details", on_change="rerun")
    for place, draw_tab in zip(places, tabs.values(), strict=True):
        if place.open:
            with place:
                draw_tab(store, run)


def _tabs(run: Run) -> dict[str, Callable[[RunStore, Run], None]]:
    """The functions that draw the tabs, by title."""
    if isinstance(run.recipe, AnswersRecipe):  # it changes no layer, and has no command
        return {"Log": _draw_log, "Settings": _draw_settings}
    if isinstance(run.recipe, Int8Recipe | LatencyRecipe):  # its layers are in the ONNX file alone
        return {"Log": _draw_log, "Settings": _draw_settings, "Command": _draw_command}
    tabs: dict[str, Callable[[RunStore, Run], None]] = {"Layers": _draw_layers}
    if run.packed_file.exists():
        tabs["Bytes"] = _draw_bytes
    if run.recipe.epochs:
        tabs["Pace"] = _draw_pace
    tabs["Log"] = _draw_log
    tabs["Settings"] = _draw_settings
    tabs["Command"] = _draw_command
    return tabs


def _draw_layers(store: RunStore, run: Run) -> None:
    events = {event["event"]: event for event in store.events(run.id)}
    if "quantized" in events:
        _draw_quantized_layers(_quantized_layers(store, run))
    elif "pruned" in events:
        _draw_pruned_layers(run, events["pruned"]["layers"])
    else:
        st.caption(_layers_text(run))


def _quantized_layers(store: RunStore, run: Run) -> dict[str, dict[str, Any]]:
    """The figures of each quantized layer, as in the event Quantized.

    Of a run that tunes, the last figures count, which are those of the packed file. The output
    errors are measured before tuning only.
    """
    layers: dict[str, dict[str, Any]] = {}
    for event in store.events(run.id):
        if event["event"] == "quantized":
            for name, figures in event["layers"].items():
                layers[name] = layers.get(name, {}) | figures
    return layers


def _draw_quantized_layers(layers: dict[str, dict[str, Any]]) -> None:
    """Draw a table. layers: the figures of each layer, as in the event Quantized."""
    columns = dict(QUANTIZED_LAYER_COLUMNS)
    if any("output_error" in figures for figures in layers.values()):
        columns |= OUTPUT_ERROR_COLUMNS
    rows = pd.DataFrame(
        [
            {
                "layer": name,
                **figures,
                "levels": levels(figures["levels"], figures.get("pinned_zeros")),
                "bits": 8 * figures["bytes"] / figures["weights"],
                **_output_errors(figures),
            }
            for name, figures in layers.items()
        ],
        columns=list(columns),
    )
    st.dataframe(
        rows,
        hide_index=True,
        column_config=columns,
        placeholder="—",
        key="layers",
        alt=f"Levels, bits, bytes and error of each of {len(rows)} quantized layers",
    )


def _output_errors(figures: dict[str, Any]) -> dict[str, float]:
    """The output errors of a layer in percent, as far as there are any."""
    return {name: 100 * figures[name] for name in OUTPUT_ERROR_COLUMNS if name in figures}


def _draw_pruned_layers(run: Run, layers: dict[str, list[int]]) -> None:
    """Draw a chart. layers: the weights kept and in total of each layer."""
    from core.charts.density import density_chart  # imports altair

    st.altair_chart(
        density_chart(layers, _layer_densities(run)),
        key="density",
        alt=f"Density of each of {len(layers)} layers",
    )


def _layer_densities(run: Run) -> LayerDensities:
    """How the kept weights are divided among the layers."""
    recipe = run.recipe
    if isinstance(recipe, PruneRecipe):
        return recipe.layer_densities
    is_layerwise = isinstance(recipe, TrainRecipe) and recipe.prune and recipe.prune.layerwise
    return "layerwise" if is_layerwise else "global"


def _layers_text(run: Run) -> str:
    """What to say of the layers if no event describes them."""
    if isinstance(run.recipe, ImportRecipe):
        return "The network was imported unchanged. **Kernels** and **Weights** show its layers."
    if isinstance(run.recipe, PruneRecipe):
        return "The weights to keep are not chosen yet."
    if not isinstance(run.recipe, TrainRecipe):
        return "The layers are not quantized yet."
    if run.recipe.prune is None:
        return "A dense network: every layer keeps all its weights."
    return "The weights to keep are chosen right before the first epoch."


def _draw_bytes(store: RunStore, run: Run) -> None:
    """Draw how many bytes of the packed file each of its parts takes."""
    from core.charts.packed_bytes import packed_bytes_alt_text, packed_bytes_chart

    with shell.showing_errors():
        sizes = ledger.packed_parts(run.packed_file)
        st.altair_chart(packed_bytes_chart(sizes), key="ledger", alt=packed_bytes_alt_text(sizes))


def _draw_pace(store: RunStore, run: Run) -> None:
    from core.charts.training import learning_rate_chart, speed_chart  # imports altair

    rows = store.epochs(run.id)
    if not rows:
        st.caption("No epoch has ended yet.")
        return
    left, right = st.columns(2)
    for column, draw_chart, title in (
        (left, learning_rate_chart, "Learning rate by epoch"),
        (right, speed_chart, "Training images a second by epoch"),
    ):
        column.altair_chart(draw_chart(rows, run.recipe.epochs), key=title, alt=title)


def _draw_log(store: RunStore, run: Run) -> None:
    lines = store.log(run.id, _LOG_CHARACTERS).splitlines()
    st.container(height=320, autoscroll=True, border=False).code(
        "\n".join(lines[-_LOG_LINES:]) or "Nothing yet.", language=None, wrap_lines=True
    )


def _draw_settings(store: RunStore, run: Run) -> None:
    rows = pd.DataFrame(list(_setting_rows(run.recipe)), columns=["Setting", "Value", "Meaning"])
    st.table(rows, alt="The settings of this run", border="horizontal", hide_index=True)


def _setting_rows(recipe: BaseModel, prefix: str = "") -> Iterator[tuple[str, str, str]]:
    """Yield name, value and meaning of each field, also of the recipes in the recipe."""
    for name, field in type(recipe).model_fields.items():
        value = getattr(recipe, name)
        if isinstance(value, BaseModel):
            yield from _setting_rows(value, f"{name}: ")
        elif name != "kind":
            yield prefix + name.replace("_", " "), _value_text(value), field.description or ""


def _value_text(value: object) -> str:
    """A value for the table, whose cells are Markdown."""
    return "—" if value is None or value == {} else plain(str(value))


def _draw_command(_: RunStore, run: Run) -> None:
    if isinstance(run.recipe, LatencyRecipe):
        command: str | None = latency_command(run.recipe, run.config.parent or "RUN")
    else:
        command = command_of(run)
    if command is None:
        return
    st.caption("The same from a terminal, in the app's folder:")
    st.code(command, language="bash", wrap_lines=True)
