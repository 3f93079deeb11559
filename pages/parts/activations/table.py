"""The tables of statistics on the activations page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import streamlit as st

from core.inspect.activations.tables import channel_table, layer_table
from core.models import model_info
from pages.parts.activations.cached import BATCH_IMAGES, batch_statistics
from pages.parts.activations.navigator import layer_name
from pages.parts.activations.sources.network import InspectedNetwork
from pages.parts.shared.words import plain

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison
    from core.inspect.activations.statistics import ChannelStatistics

_MAX_UNASKED_MACS = 2e10  # a batch with more multiply-adds is measured only if the user wants it
_HEIGHT = 420  # pixels of a table
_HELP = {
    "Network": "The letter of the network.",
    "Kind": "The activation function that is called.",
    "Channels": "The number of channels, with their height and width.",
    "Mean": "The mean over the positions in this picture.",
    "Max": "The highest value in this picture.",
    "Zeros": "The share of values that are exactly 0.",
    "Dead": "Dead channels: they are 0 everywhere in this picture.",
    "Dead in batch": f"Channels that are 0 everywhere in {BATCH_IMAGES} test images.",
    "Difference": "The mean absolute difference from A.",
    "Cosine": "The cosine similarity to A: 1 is the same but for a factor, 0 is unrelated.",
    "Newly dead": "Channels that are dead here, but alive in A.",
}
_DECIMALS = ("Mean", "Max", "Difference", "Cosine")


def draw_tables(
    networks: list[InspectedNetwork], comparison: "ActivationComparison", number: int, root: Path
) -> None:
    """Draw the table of all layers, and that of all channels of one layer."""
    batches = choose_batch_statistics(networks, root)
    layers = layer_table(comparison, batches)
    draw_table(layers, key="all_layers", alt="The statistics of every layer", height=_HEIGHT)
    row = comparison.rows[number]
    st.markdown(f"All channels of **{plain(layer_name(row))}**")
    channels = channel_table(comparison, row, batches)
    draw_table(channels, key="all_channels", alt="The statistics of every channel", height=_HEIGHT)


def choose_batch_statistics(
    networks: list[InspectedNetwork], root: Path
) -> "list[dict[str, ChannelStatistics] | None]":
    """Draw the switch for a batch of test images, and return each network's statistics over it.

    They are None if the switch is off, or if the images are not on this machine.
    """
    macs = max(model_info(network.card.model).macs for network in networks)
    is_on = st.toggle(
        f"Also over {BATCH_IMAGES} test images",
        macs * BATCH_IMAGES < _MAX_UNASKED_MACS,
        key="batch",
        help=(
            "Counts the channels that are dead for a whole batch, not only for this picture. It"
            " takes some seconds with a large network."
        ),
    )
    return [batch_statistics(network, root) if is_on else None for network in networks]


def draw_table(lines: list[dict[str, Any]], key: str, alt: str, **options: Any) -> None:
    """Draw a table whose columns explain themselves. `options` are those of `st.dataframe`."""
    frame = pd.DataFrame(
        [{name: _in_words(value) for name, value in line.items()} for line in lines]
    )
    st.dataframe(
        frame,
        hide_index=True,
        key=key,
        alt=alt,
        column_config={name: _column(name) for name in frame.columns},
        **options,
    )


def _in_words(value: Any) -> Any:
    """Return "yes" or "no" for a bool, which a table would draw as a box that can be ticked."""
    return ("yes" if value else "no") if isinstance(value, bool) else value


def _column(name: str) -> Any:
    """Return the configuration of a column, whose name may end with a network's letter."""
    statistic = _statistic_of(name)
    if statistic == "Zeros":
        return st.column_config.ProgressColumn(
            name, min_value=0, max_value=1, format="percent", help=_HELP["Zeros"]
        )
    if statistic in _DECIMALS:
        return st.column_config.NumberColumn(name, format="%.3f", help=_HELP[statistic])
    return st.column_config.Column(name, help=_HELP.get(statistic))


def _statistic_of(column: str) -> str:
    """Return the longest statistic that the column's name begins with, or the name itself."""
    candidates = [statistic for statistic in _HELP if column.startswith(statistic)]
    return max(candidates, key=len, default=column)
