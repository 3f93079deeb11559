"""Describes the model to quantize, and caches what is read from its files."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import streamlit as st

from core.errors import UserError
from core.models.tensor_file import read_header
from core.runs.run import Run
from pages.parts.shared.cache import FileKey, file_key, model_key, quantized_file
from pages.parts.shared.words import kept, plain

if TYPE_CHECKING:
    from core.forecast.quantization import StoredTensor
    from core.models.saved import SavedModel


def tensor_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor by name. Raises UserError for a damaged file."""
    return _tensor_shapes(model_key(run))


def load_parent(run: Run) -> "tuple[SavedModel, dict[str, StoredTensor]]":
    """Return the model and the tensors of its packed file, none if it is not quantized."""
    packed = quantized_file(run)
    packed_key = None if packed is None else file_key(packed)
    return _load_parent(model_key(run), packed_key)


def layer_memory(run: Run) -> dict[str, Any]:
    """Return the memory of the plans for this model. It lives as long as the server."""
    return _layer_memory(model_key(run))


def describe_model(run: Run) -> str:
    """Say what the model is, and what quantizing it again does. Raises UserError."""
    text = f"{run.model} on {plain(run.dataset)}, {kept(run.density)}."
    if quantized_file(run) is not None:
        text += (
            " It is quantized already. Rounding to bits then rounds the centroids, and weights"
            " that share one still do."
        )
    return text


@st.cache_data(show_spinner=False, max_entries=16)
def _tensor_shapes(model: FileKey) -> dict[str, tuple[int, ...]]:
    path = Path(model[0])
    try:
        header = read_header(path)
    except (OSError, ValueError) as error:
        raise UserError(f"{path} is damaged ({error}); choose another model.") from error
    return {name: tensor.shape for name, tensor in header.tensors.items()}


@st.cache_resource(show_spinner=False, max_entries=2)
def _load_parent(
    model: FileKey, packed: FileKey | None
) -> "tuple[SavedModel, dict[str, StoredTensor]]":
    from core.compress import codec
    from core.models import saved

    tensors = codec.load(Path(packed[0])).tensors if packed else {}
    return saved.read_model(Path(model[0])), tensors


@st.cache_resource(show_spinner=False, max_entries=4)
def _layer_memory(model: FileKey) -> dict[str, Any]:
    return {}
