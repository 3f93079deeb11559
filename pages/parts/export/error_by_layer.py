"""The step that shows at which layer a compressed network begins to differ from its original."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import streamlit as st
import torch
from numpy.typing import NDArray

from core.charts.tensor_error import error_alt_text, error_chart, error_table
from core.deploy.onnx.export import export_onnx
from core.deploy.smaller import network_in_file
from core.deploy.tensors import int8_errors
from core.inspect.tensor_error import TensorError, network_errors
from core.jobs.parent_dataset import load_parent_dataset
from core.models.saved import SavedModel, read_model
from core.runs.int8 import newest_int8
from core.runs.run import INT8, Run
from core.runs.store import RunStore
from core.training.held_back import images_at, split_of_card
from pages.parts.shared import shell
from pages.parts.shared.cache import FileKey, file_key, model_key
from pages.parts.shared.words import plain

# All outputs of all layers are in memory at once, so large images have to be few.
_PIXELS = 64 * 32 * 32
_FEWEST_IMAGES = 4

_COLUMNS = {
    "layer": st.column_config.TextColumn("Layer", pinned=True),
    "network": st.column_config.TextColumn("Network"),
    "snr": st.column_config.NumberColumn("SNR (dB)", format="%.1f"),
    "fall": st.column_config.NumberColumn(
        "Lower by (dB)", format="%.1f", help="Than at the layer before."
    ),
}


def draw_error_by_layer(store: RunStore, run: Run, root: Path) -> None:
    """Draw the error of each layer's output, of all versions of the network that there are.

    root: the folder of the data sets.
    """
    st.markdown(
        "The signal-to-noise ratio of every layer's output on some training images, from the"
        " first layer to the last. At 20 dB the error is a tenth of the signal. Where the line"
        " falls most, an error arises, and that layer may be worth sparing."
    )
    made = newest_int8(store, run)
    parent = _parent(store, run)
    if made is None and parent is None:
        st.info(
            "There is nothing to compare this network with yet. Make it in integers, or choose one"
            " that was pruned or quantized.",
            icon=":material/compare:",
        )
        return
    errors: dict[str, Sequence[TensorError]] = {}
    with st.spinner("Comparing layer by layer …", show_time=True), shell.showing_errors():
        if parent is not None:
            name = f"{run.name}, against {parent.name}"
            errors[name] = _float_errors(model_key(parent), model_key(run), str(root))
        if made is not None:
            name = f"{made.name}, against {run.name}"
            errors[name] = _integer_errors(model_key(run), file_key(made.path / INT8), str(root))
    if errors:
        _draw_errors(errors)


def _parent(store: RunStore, run: Run) -> Run | None:
    """Return the run whose network was pruned or quantized to this one, None if there is none.

    Every recipe that takes a parent keeps its network's layers.
    """
    others = [other for other in store.lineage(run.id) if other.id == run.config.parent]
    return next((other for other in others if other.has_model), None)


def _draw_errors(errors: Mapping[str, Sequence[TensorError]]) -> None:
    table = error_table(errors)
    st.altair_chart(error_chart(table), key="error_by_layer", alt=error_alt_text(table))
    for name in errors:
        st.caption(plain(name))
    with st.expander("As a table", icon=":material/table:"):
        st.dataframe(table, column_config=_COLUMNS, hide_index=True, key="error_table")


@st.cache_data(show_spinner=False, max_entries=16)
def _float_errors(parent: FileKey, model: FileKey, root: str) -> list[TensorError]:
    reference = read_model(Path(parent[0]))
    images = torch.from_numpy(_images(reference, root))
    return network_errors(reference.network(), read_model(Path(model[0])).network(), images)


@st.cache_data(show_spinner=False, max_entries=16)
def _integer_errors(model: FileKey, file: FileKey, root: str) -> list[TensorError]:
    source = read_model(Path(model[0]))
    content = Path(file[0]).read_bytes()
    network = network_in_file(content, source.network(), source.card)
    exported = export_onnx(network, source.card)
    return int8_errors(exported, content, _images(source, root))


def _images(model: SavedModel, root: str) -> NDArray[np.float32]:
    """Return training images, normalised as the model's card says.

    Not test images, because what they show may choose which layers stay in float.
    """
    dataset = load_parent_dataset(model.card, Path(root))
    count = max(_FEWEST_IMAGES, _PIXELS // model.card.side**2)
    rows = split_of_card(model.card, dataset).training[:count]
    batch, _ = images_at(rows, dataset, torch.device("cpu")).batch(slice(0, len(rows)))
    return np.ascontiguousarray(batch.numpy())
