"""Caches on the activations page: forward passes, comparisons, and batch statistics."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core import data
from core.data.picture import to_square
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.picture import Picture

if TYPE_CHECKING:
    import numpy as np

    from core.inspect.activations.comparison import ActivationComparison
    from core.inspect.activations.forward import ForwardPass
    from core.inspect.activations.statistics import ChannelStatistics

BATCH_IMAGES = 128  # test images in which a channel must be 0 to count as dead in the batch
_IMAGES_AT_ONCE = 16
_KEPT_BATCHES = 6

# -- one picture --


def compare_activations(
    networks: list[InspectedNetwork], picture: Picture
) -> "ActivationComparison":
    """Return the forward passes of the picture through the networks."""
    return _compare_activations(_comparison_key(networks, picture), networks, picture)


def _comparison_key(networks: list[InspectedNetwork], picture: Picture) -> str:
    return " | ".join([picture.key, *(network.key for network in networks)])


@st.cache_resource(max_entries=3, show_spinner="Measuring the activations …")
def _compare_activations(
    key: str, _networks: list[InspectedNetwork], _picture: Picture
) -> "ActivationComparison":
    from core.inspect.activations.comparison import ActivationComparison  # imports torch

    passes = [_forward_pass(network.key, _picture.key, network, _picture) for network in _networks]
    return ActivationComparison(tuple(passes))


@st.cache_resource(max_entries=6, show_spinner=False)
def _forward_pass(
    network_key: str, picture_key: str, _network: InspectedNetwork, _picture: Picture
) -> "ForwardPass":
    from core.inspect.activations.forward import run_forward

    square = to_square(_picture.image, _network.card.side)
    return run_forward(_network.network(), square, _network.card)


def layer_cosines(networks: list[InspectedNetwork], picture: Picture) -> list[dict[str, float]]:
    """Return the cosine of each layer of A and each other network, in the order of the calls.

    Layers that only one of the two has, or in another shape, are left out.
    """
    return _layer_cosines(_comparison_key(networks, picture), networks, picture)


@st.cache_resource(max_entries=6, show_spinner=False)
def _layer_cosines(
    key: str, _networks: list[InspectedNetwork], _picture: Picture
) -> list[dict[str, float]]:
    from core.inspect.behaviour.similarity import comparable_layers, layer_similarities

    first, *others = compare_activations(_networks, _picture).passes
    activations = [other.captured.activations for other in others]
    return [
        layer_similarities(first.captured.activations, other)
        if comparable_layers(first.captured.activations, other)
        else {}
        for other in activations
    ]


# -- a batch of test images --


def batch_statistics(
    network: InspectedNetwork, root: Path
) -> "dict[str, ChannelStatistics] | None":
    """Return the statistics of every activation over test images of the network's data set.

    Draws the progress if they are not in the cache. Returns None if the images are not here.
    """
    memory = _measured_batches()
    if network.key in memory:
        return memory[network.key]
    dataset = network.card.dataset
    if dataset != "Digits" and not data.is_ready(dataset, root):
        return None
    images = data.load(dataset, root).test.images[:BATCH_IMAGES]
    memory[network.key] = statistics = _measure_batch(network, images)
    while len(memory) > _KEPT_BATCHES:
        oldest = next(iter(memory))
        memory.pop(oldest, None)
    return statistics


@st.cache_resource(show_spinner=False)
def _measured_batches() -> "dict[str, dict[str, ChannelStatistics]]":
    """The statistics that were measured last, for all sessions.

    It is a dict in a cache, because a cached function cannot show its progress.
    """
    return {}


def _measure_batch(
    network: InspectedNetwork, images: "np.ndarray"
) -> "dict[str, ChannelStatistics]":
    from core.inspect.activations.forward import running_statistics

    place = st.empty()
    statistics: dict[str, ChannelStatistics] = {}
    steps = running_statistics(network.network(), images, network.card, _IMAGES_AT_ONCE)
    for number, statistics_so_far in enumerate(steps, start=1):
        statistics = statistics_so_far
        share = min(1.0, number * _IMAGES_AT_ONCE / len(images))
        place.progress(share, text=f"Measuring {len(images)} test images …")
    place.empty()
    return statistics
