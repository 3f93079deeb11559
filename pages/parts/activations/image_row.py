"""A row of pictures of one layer, with their titles and captions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core.inspect.activations.tables import network_letters
from pages.parts.shared.steady_image import draw_clickable_tiles
from pages.parts.shared.theme import is_dark
from pages.parts.shared.words import part, span

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls
    from core.inspect.activations.statistics import ChannelComparison, ChannelStatistics
    from core.inspect.mosaic import Mosaic


def draw_network_row(
    comparison: "ActivationComparison",
    row: "MatchedCalls",
    mosaics: "Sequence[Mosaic | None]",
    channel: int,
) -> None:
    """Draw every network's channels side by side. `channel` is marked.

    mosaics: None for a network that has no more layers.
    """
    titles = network_letters(len(row))
    summaries = []
    for key, forward_pass in zip(row, comparison.passes, strict=True):
        summaries.append("" if key is None else _statistics_in_words(forward_pass.statistics[key]))
    _draw_row(row, st.columns(len(row)), titles, summaries, mosaics, channel)


def draw_difference_row(
    comparison: "ActivationComparison",
    row: "MatchedCalls",
    mosaics: "Sequence[Mosaic]",
    channel: int,
) -> None:
    """Draw the difference of each other network from the first, below the network."""
    titles = difference_titles(comparison)
    summaries = [_comparison_in_words(change) for change in comparison.changes_of(row)]
    columns = st.columns(len(row))[1:]
    _draw_row(row, columns, titles, summaries, mosaics, channel)


def difference_titles(comparison: "ActivationComparison") -> list[str]:
    """Return the titles of the differences, such as "B − A"; empty if there are none."""
    letters = network_letters(len(comparison.passes))
    return [f"{letter} − A" for letter in letters[1:]] if comparison.changes else []


def caption(title: str, *parts: str) -> str:
    """Return a caption in Markdown: the title in bold type and the parts that are not empty."""
    bold = f"**{title}**" if title else ""
    return " · ".join(part for part in (bold, *parts) if part)


def choose_channel(channel: int) -> None:
    """Choose the channel that is shown large."""
    st.session_state["channel"] = channel


def _draw_row(
    row: "MatchedCalls",
    columns: Sequence[DeltaGenerator],
    titles: list[str],
    summaries: list[str],
    mosaics: "Sequence[Mosaic | None]",
    channel: int,
) -> None:
    layer = row[0] or row[-1]
    for column, title, summary, mosaic in zip(columns, titles, summaries, mosaics, strict=True):
        with column:
            if mosaic is None:
                st.caption("No more activations.")
                continue
            draw_clickable_tiles(
                mosaic.in_theme(is_dark()).png(),
                mosaic.grid,
                channel,
                alt=f"{layer} {title}: {summary}",
                key=f"channels {title}",
                on_choose=choose_channel,
            )
            scale = span(mosaic.scale.low, mosaic.scale.high)
            st.caption(caption(title, scale, summary))


def _statistics_in_words(statistics: "ChannelStatistics") -> str:
    zeros = statistics.zero_fraction.mean().item()
    return f"{part(zeros)} zeros, {int(statistics.dead.sum())} dead"


def _comparison_in_words(change: "ChannelComparison") -> str:
    return f"cosine {change.layer_cosine:.3f}, {int(change.newly_dead.sum())} newly dead"
