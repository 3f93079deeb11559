"""Makes the tables of an activation comparison: a row for each layer, or for each channel of one.

With several networks, the name of a column ends with the letter of the network: A, B or C. Each
network is compared with A. The measures are those of `ChannelStatistics` and `ChannelComparison`.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls
    from core.inspect.activations.statistics import ChannelComparison, ChannelStatistics

    BatchStatistics = dict[str, ChannelStatistics] | None
    """The statistics of every call over a batch; None if no batch was measured."""

_MEASURES = (
    "Dead",
    "Dead in batch",
    "Newly dead",
    "Cosine",
    "Difference",
    "Zeros",
    "Mean",
    "Max",
)
"""The measures in the order of their columns."""

_COUNTED = ("Dead", "Dead in batch", "Newly dead")
"""The measures that are true or false for a channel. A layer has the number of true ones."""


def network_letters(count: int) -> list[str]:
    """Return the letters of several networks, A, B and C, or an empty one for a single network."""
    return list("ABC"[:count]) if count > 1 else [""]


def layer_table(
    comparison: "ActivationComparison", batches: "Sequence[BatchStatistics]"
) -> list[dict[str, Any]]:
    """Return a row for each layer.

    A row has means and maxima over all channels, fractions of zeros in [0, 1], and numbers of dead
    channels.
    """
    table = []
    for calls in comparison.rows:
        measures = {
            letter: _layer_measures(channels, change)
            for letter, channels, change in _channel_measures(comparison, calls, batches)
        }
        keys = dict.fromkeys(key for key in calls if key is not None)
        row = {
            "Layer": " | ".join(keys),
            "Kind": describe_kinds(comparison, calls),
            "Channels": describe_size(comparison, calls),
        }
        table.append(row | _columns(measures))
    return table


def channel_table(
    comparison: "ActivationComparison",
    calls: "MatchedCalls",
    batches: "Sequence[BatchStatistics]",
) -> list[dict[str, Any]]:
    """Return a row for each channel of these calls, in the order of the channel numbers."""
    measures = {
        letter: {name: values.tolist() for name, values in channels.items()}
        for letter, channels, _ in _channel_measures(comparison, calls, batches)
    }
    columns = _columns(measures)
    table = []
    for channel in range(max(len(values) for values in columns.values())):
        row: dict[str, Any] = {"Channel": channel}
        for name, values in columns.items():
            if channel < len(values):
                row[name] = values[channel]
        table.append(row)
    return table


def channel_figures(
    comparison: "ActivationComparison",
    calls: "MatchedCalls",
    batches: "Sequence[BatchStatistics]",
    channel: int,
) -> list[dict[str, Any]]:
    """Return the measures of one channel: a row for each network that has the channel."""
    table = []
    for letter, channels, _ in _channel_measures(comparison, calls, batches):
        if channel < len(channels["Mean"]):
            row: dict[str, Any] = {"Network": letter} if letter else {}
            row |= {name: channels[name][channel].item() for name in _MEASURES if name in channels}
            table.append(row)
    return table


def describe_kinds(comparison: "ActivationComparison", calls: "MatchedCalls") -> str:
    """Name the activation functions of the calls, such as "ReLU" or "ReLU | Hardswish"."""
    kinds = [
        forward_pass.captured.kinds[key]
        for key, forward_pass in zip(calls, comparison.passes, strict=True)
        if key is not None
    ]
    return " | ".join(dict.fromkeys(kinds))


def describe_size(comparison: "ActivationComparison", calls: "MatchedCalls", unit: str = "") -> str:
    """Say how many channels the calls have, and of which size, such as "64 of 32 × 32".

    unit: text that follows the number of channels.
    """
    sizes = []
    for key, forward_pass in zip(calls, comparison.passes, strict=True):
        if key is not None:
            shape = forward_pass.shapes[key]
            axis = forward_pass.captured.axes[key]
            sizes.append(_size_in_words(shape, axis, unit))
    return " | ".join(dict.fromkeys(sizes))


def _size_in_words(shape: Sequence[int], axis: int, unit: str) -> str:
    """Describe an output of this shape, which has images on axis 0 and channels on `axis`."""
    lengths = [str(length) for index, length in enumerate(shape) if index not in (0, axis)]
    channels = f"{shape[axis]:,}{unit}"
    return f"{channels} of {' × '.join(lengths)}" if lengths else channels


def _channel_measures(
    comparison: "ActivationComparison",
    calls: "MatchedCalls",
    batches: "Sequence[BatchStatistics]",
) -> "Iterator[tuple[str, dict[str, Tensor], ChannelComparison | None]]":
    """Yield the letter, the measures of each channel and the comparison of each network's call."""
    changes: list[ChannelComparison | None] = [None, *comparison.changes_of(calls)]
    for index, letter in enumerate(network_letters(len(calls))):
        key = calls[index]
        if key is None:
            continue
        statistics = comparison.passes[index].statistics[key]
        measures = {
            "Mean": statistics.mean,
            "Max": statistics.maximum,
            "Zeros": statistics.zero_fraction,
            "Dead": statistics.dead,
        }
        batch = batches[index]
        if batch:
            measures["Dead in batch"] = batch[key].dead
        change = changes[index] if index < len(changes) else None
        if change is not None:
            measures["Difference"] = change.difference
            measures["Newly dead"] = change.newly_dead
            measures["Cosine"] = change.cosine
        yield letter, measures, change


def _layer_measures(
    channels: "Mapping[str, Tensor]", change: "ChannelComparison | None"
) -> dict[str, float | int]:
    """Combine the measures of all channels into those of the layer."""
    layer: dict[str, float | int] = {}
    for name, values in channels.items():
        if name in _COUNTED:
            layer[name] = int(values.sum())
        elif name == "Max":
            layer[name] = values.max().item()
        else:
            layer[name] = values.mean().item()
    if change is not None:
        layer["Cosine"] = change.layer_cosine
    return layer


def _columns(measures: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Name the columns, so that the same measure of all networks stands side by side."""
    columns = {}
    for name in _MEASURES:
        for letter, of_network in measures.items():
            if name in of_network:
                columns[f"{name} {letter}".strip()] = of_network[name]
    return columns
