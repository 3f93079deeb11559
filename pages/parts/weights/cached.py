"""Caches of the measurements on the weights page, each under the key of the model's file."""

from pathlib import Path

import streamlit as st

from core.inspect.weights import comparison
from core.inspect.weights.histogram import WeightSummary
from core.inspect.weights.levels import LayerLevels, float_levels, packed_levels
from core.models import saved
from core.runs.run import Run
from pages.parts.shared.cache import FileKey, file_key, model_key, quantized_file
from pages.parts.shared.words import levels

# Bars or points of a distribution. Two models with their error and their levels stay below 2,000.
_MOST_BINS = 640
_ERROR_BINS = 200


def weight_shapes(run: Run) -> dict[str, tuple[int, ...]]:
    """Return the shape of every convolution and linear weight, by its name."""
    return _weight_shapes(model_key(run))


def layer_summaries(run: Run) -> list[comparison.LayerSummary]:
    """Return the statistics of the whole network, followed by those of every layer."""
    return _layer_summaries(model_key(run))


def snr_by_layer(first: Run, second: Run) -> dict[str, float]:
    """Return the signal-to-noise ratio in dB of every layer that both models have."""
    return _snr_by_layer(model_key(first), model_key(second))


def weight_comparison(
    first: Run, second: Run | None, layer: str, bins: int
) -> comparison.WeightComparison:
    """Return the distributions of one layer's weights and of the error of the second model.

    An empty `layer` stands for the whole network.
    """
    second_key = model_key(second) if second else None
    return _weight_comparison(model_key(first), second_key, layer, bins)


def compare_files(first: Path, second: Path, layer: str) -> comparison.WeightComparison:
    """Return the distributions of one layer's weights in two model files, in 100 bins.

    Raises OSError if a file does not exist.
    """
    return _weight_comparison(file_key(first), file_key(second), layer, 100)


def layers_in_packed_file(run: Run) -> dict[str, LayerLevels]:
    """Return the levels of every quantized layer in the run's packed file.

    The result is empty if the run is not quantized.
    """
    packed = quantized_file(run)
    if packed is None:
        return {}
    return _layers_in_packed_file(file_key(packed))


def levels_of_layer(run: Run, layer: str) -> LayerLevels | None:
    """Return the levels of one layer, or None if its weights have too many different values.

    The levels come from the packed file if it holds the layer, otherwise from the weights.
    """
    packed = layers_in_packed_file(run).get(layer)
    if packed is not None:
        return packed
    if layer not in weight_shapes(run):
        return None
    return _levels_in_weights(model_key(run), layer)


def levels_in_words(run: Run, layer: str, summary: WeightSummary) -> str:
    """Count the different values of a layer's weights, or of the whole network's with "".

    A quantized layer is counted as in the packed file, like on the page of its run.
    """
    packed = layers_in_packed_file(run).get(layer)
    if packed is not None:
        return levels(packed.used, packed.extra_zeros)
    return levels(summary.unique - (summary.zeros > 0), summary.zeros)


@st.cache_data(max_entries=64, show_spinner="Reading the network …")
def _weight_shapes(model: FileKey) -> dict[str, tuple[int, ...]]:
    return saved.layer_shapes(saved.read_card(_path(model)))


@st.cache_data(max_entries=32, show_spinner="Measuring every layer …")
def _layer_summaries(model: FileKey) -> list[comparison.LayerSummary]:
    return comparison.summarise_layers(_path(model))


@st.cache_data(max_entries=32, show_spinner="Comparing every layer …")
def _snr_by_layer(first: FileKey, second: FileKey) -> dict[str, float]:
    return comparison.layer_snrs(_path(first), _path(second))


@st.cache_data(max_entries=256, show_spinner="Counting the weights …")
def _weight_comparison(
    first: FileKey, second: FileKey | None, layer: str, bins: int
) -> comparison.WeightComparison:
    second_path = _path(second) if second else None
    return comparison.compare_weights(
        _path(first), second_path, layer, _MOST_BINS, bins, _ERROR_BINS
    )


@st.cache_data(max_entries=16, show_spinner="Reading the packed file …")
def _layers_in_packed_file(packed: FileKey) -> dict[str, LayerLevels]:
    return packed_levels(_path(packed))


@st.cache_data(max_entries=256, show_spinner=False)
def _levels_in_weights(model: FileKey, layer: str) -> LayerLevels | None:
    return float_levels(_path(model), layer)


def _path(key: FileKey) -> Path:
    return Path(key[0])
