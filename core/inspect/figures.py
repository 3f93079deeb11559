"""What a table says of several looks: a line a layer, or a line a channel of one layer.

Where there are several networks, a figure's column ends with the network's letter: A, B or C; comparisons are with A.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from core.inspect.beside import Beside, Row
    from core.inspect.channels import ChannelStatistics, Comparison

    Batch = dict[str, ChannelStatistics] | None  # over a batch, by call; None where nobody measured it

ORDER = ("Dead", "Dead in batch", "Newly dead", "Cosine", "Difference", "Zeros", "Mean", "Max")
"""The figures, in the order of their columns."""


def letters(count: int) -> list[str]:
    """A, B and C; nothing for one alone."""
    return list("ABC"[:count]) if count > 1 else [""]


def by_layer(beside: "Beside", batches: "Sequence[Batch]") -> list[dict]:
    """A line a layer: its mean and maximum, the share of zeros in [0, 1], how many channels are dead."""
    return [{"Layer": " | ".join(dict.fromkeys(key for key in row if key)), "Channels": size(beside, row)}
            | _columns({letter: _of_layer(found, change)
                        for letter, found, change in _figures(beside, row, batches)}) for row in beside.rows]


def by_channel(beside: "Beside", row: "Row", batches: "Sequence[Batch]") -> list[dict]:
    """A line a channel of the calls in `row`, in the channels' own order."""
    columns = _columns({letter: {name: values.tolist() for name, values in found.items()}
                        for letter, found, _ in _figures(beside, row, batches)})
    return [{"Channel": channel} | {name: values[channel] for name, values in columns.items() if channel < len(values)}
            for channel in range(max(map(len, columns.values())))]


def size(beside: "Beside", row: "Row", unit: str = "") -> str:
    """The channels and their size in words, such as "64 of 32 × 32"; `unit` follows the first number."""
    words = []
    for key, look in zip(row, beside.looks, strict=True):
        if key is not None:
            axis, shape = look.captured.axes[key], look.shapes[key]
            lengths = " × ".join(str(length) for index, length in enumerate(shape) if index not in (0, axis))
            words.append(f"{shape[axis]:,}{unit}" + (f" of {lengths}" if lengths else ""))
    return " | ".join(dict.fromkeys(words))


def _figures(beside: "Beside", row: "Row", batches: "Sequence[Batch]"
             ) -> "Iterator[tuple[str, dict[str, Any], Comparison | None]]":
    """For each network's letter its figures by name, as tensors with an entry a channel, and its comparison."""
    changes: list[Comparison | None] = [None, *(change[row[0]] for change in beside.changes)]
    changes += [None] * (len(row) - len(changes))
    for letter, key, look, batch, change in zip(letters(len(row)), row, beside.looks, batches, changes, strict=True):
        if key is None:
            continue
        seen = look.statistics[key]
        found = {"Mean": seen.mean, "Max": seen.maximum, "Zeros": seen.zeros, "Dead": seen.dead}
        if batch:
            found["Dead in batch"] = batch[key].dead
        if change:
            found |= {"Difference": change.difference, "Newly dead": change.newly_dead, "Cosine": change.cosine}
        yield letter, found, change


def _of_layer(found: dict[str, Any], change: "Comparison | None") -> dict[str, float | int]:
    """One figure of all channels each."""
    counted = {name: int(values.sum()) for name, values in found.items() if "dead" in name.lower()}
    means = {name: values.mean().item() for name, values in found.items() if name not in counted}
    return means | counted | {"Max": found["Max"].max().item()} | ({"Cosine": change.layer_cosine} if change else {})


def _columns(figures: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The same figures of all networks beside each other."""
    return {f"{name} {letter}".strip(): found[name] for name in ORDER for letter, found in figures.items()
            if name in found}
