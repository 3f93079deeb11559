"""What only some want to see of a run: its layers, bytes, pace, log, settings and command; in tabs."""

import pandas as pd
import streamlit as st

from core import baseline, checkpoint, quantize
from core.inspect import packed
from core.runs.run import PACKED, Run
from core.runs.store import RunStore
from pages.parts import shell
from pages.parts.states import plain

LAYERS = {
    "layer": st.column_config.TextColumn("Layer", pinned=True),
    "weights": st.column_config.NumberColumn("Weights", format="localized"),
    "levels": st.column_config.NumberColumn("Levels", help="Different values in use; pinned zeros aside."),
    "bits": st.column_config.NumberColumn("Bits", format="%.2f", help=(
        "Bits a weight, of the packed file, entropy-coded; the layer's centroids or scales included.")),
    "bytes": st.column_config.NumberColumn("Bytes", format="localized", help="Of the packed file."),
    "snr": st.column_config.NumberColumn("SNR (dB)", format="%.1f", help=(
        "Signal-to-noise ratio of the weights, before any tuning: six decibels are about one bit. Empty where nothing "
        "was lost.")),
}


def draw(store: RunStore, run: Run) -> None:
    """Draw the tabs that this kind of run has; a tab's inside is computed while it is open."""
    contents = {"Layers": _layers, **({"Bytes": _bytes} if (run.path / PACKED).exists() else {}),
                **({"Pace": _pace} if run.recipe.epochs else {}), "Log": _log, "Settings": _settings,
                "Command": _command}
    for tab, content in zip(st.tabs(list(contents), key="details", on_change="rerun"), contents.values(), strict=True):
        if tab.open:
            with tab:
                content(store, run)


def _layers(store: RunStore, run: Run) -> None:
    events = {event["event"]: event for event in store.events(run.id)}
    if "quantized" in events:
        rows = pd.DataFrame([{"layer": name, **row, "bits": 8 * row["bytes"] / row["weights"]}
                             for name, row in events["quantized"]["layers"].items()])
        st.dataframe(rows.reindex(columns=list(LAYERS)), hide_index=True, column_config=LAYERS, placeholder="—",
                     key="layers", alt=f"Levels, bits, bytes and error of each of {len(rows)} quantized layers")
    elif "pruned" in events:
        from core.charts import training

        layers = events["pruned"]["layers"]
        st.altair_chart(training.density(layers), key="density",
                        alt=f"Share of weights kept in each of {len(layers)} layers")
    elif run.recipe.kind == "import":
        st.caption("Taken over as it is. **Kernels** and **Weights** show what is in each layer.")
    elif run.recipe.kind != "train":
        st.caption("The layers are quantized in a moment.")
    elif run.recipe.prune is None:
        st.caption("A dense network: every layer keeps all its weights.")
    else:
        st.caption("The weights to keep are chosen right before the first epoch.")


def _bytes(store: RunStore, run: Run) -> None:
    """Where the bytes of the packed file are."""
    from core.charts import ledger

    with shell.telling():
        sizes = packed.parts(run.path / PACKED)
        st.altair_chart(ledger.chart(sizes), key="ledger", alt=ledger.described(sizes))


def _pace(store: RunStore, run: Run) -> None:
    from core.charts import training

    rows = store.epochs(run.id)
    for column, chart, title in zip(st.columns(2), (training.learning_rate, training.speed),
                                    ("Learning rate by epoch", "Training images a second by epoch"), strict=True):
        column.altair_chart(chart(rows, run.recipe.epochs), key=title, alt=title)


def _log(store: RunStore, run: Run) -> None:
    tail = "\n".join(store.log(run.id, 20_000).splitlines()[-200:])
    st.container(height=320, autoscroll=True, border=False).code(tail or "Nothing yet.", language=None,
                                                                 wrap_lines=True)


def _settings(store: RunStore, run: Run) -> None:
    """The recipe, a line a setting, with what each means."""
    def lines(model, prefix: str = ""):
        for name, field in type(model).model_fields.items():
            value = getattr(model, name)
            if hasattr(type(value), "model_fields"):
                yield from lines(value, f"{name}: ")
            elif name != "kind":
                shown = "—" if value is None or value == {} else plain(str(value))  # a table's cells are Markdown
                yield prefix + name.replace("_", " "), shown, field.description or ""

    table = pd.DataFrame(list(lines(run.recipe)), columns=["Setting", "Value", "Meaning"])
    st.table(table, alt="The settings of this run", border="horizontal", hide_index=True)


def _command(store: RunStore, run: Run) -> None:
    words = {"train": "training", "import": "import"}.get(run.recipe.kind, "quantization")
    st.caption(f"The same {words} from a terminal, in the app's folder:")
    line = {"train": baseline.command, "import": checkpoint.command}.get(
        run.recipe.kind, lambda recipe: quantize.command(recipe, run.config.parent or "RUN"))
    st.code(line(run.recipe), language="bash", wrap_lines=True)
