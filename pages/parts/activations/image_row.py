"""A row of pictures of one ReLU, with their titles and captions."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import streamlit as st

from core.inspect.activations.tables import network_letters
from pages.parts.activations.cached import ScaledImage

if TYPE_CHECKING:
    from core.inspect.activations.comparison import ActivationComparison, MatchedCalls
    from core.inspect.activations.statistics import ChannelComparison, ChannelStatistics


def draw_image_row(
    comparison: "ActivationComparison", row: "MatchedCalls", images: Sequence[ScaledImage | None]
) -> None:
    """Draw the pictures of every network's channels and of the differences side by side.

    images: None for a network that has no more ReLUs.
    """
    layer = row[0] or row[-1]
    titles = image_titles(comparison)
    summaries = _summaries(comparison, row)
    columns = st.columns(len(titles))
    for column, title, summary, image in zip(columns, titles, summaries, images, strict=True):
        if image is None:
            column.caption("No more ReLUs.")
            continue
        png, scale = image
        column.image(
            png,
            width="stretch",
            caption=caption(title, scale, summary),
            alt=f"{layer} {title}: {summary}",
        )


def image_titles(comparison: "ActivationComparison") -> list[str]:
    """Return the titles of a row of pictures: the networks' letters, then the differences."""
    letters = network_letters(len(comparison.passes))
    differences = [f"{letter} − A" for letter in letters[1:]] if comparison.changes else []
    return letters + differences


def caption(title: str, *parts: str) -> str:
    """Return a caption in Markdown: the title in bold type and the parts that are not empty."""
    bold = f"**{title}**" if title else ""
    return " · ".join(part for part in (bold, *parts) if part)


def _summaries(comparison: "ActivationComparison", row: "MatchedCalls") -> list[str]:
    """Return a few words for each picture of a row, "" for a network without the ReLU."""
    summaries = []
    for key, forward_pass in zip(row, comparison.passes, strict=True):
        summaries.append("" if key is None else _statistics_in_words(forward_pass.statistics[key]))
    summaries += [_comparison_in_words(change) for change in comparison.changes_of(row)]
    return summaries


def _statistics_in_words(statistics: "ChannelStatistics") -> str:
    zeros = statistics.zero_fraction.mean().item()
    return f"{zeros:.0%} zeros, {int(statistics.dead.sum())} dead"


def _comparison_in_words(change: "ChannelComparison") -> str:
    return f"cosine {change.layer_cosine:.3f}, {int(change.newly_dead.sum())} newly dead"
