"""Figures as words for the comparison."""

from collections.abc import Callable, Collection, Sequence

import streamlit as st

from core.runs.comparison.compared import ComparedRun
from pages.parts.shared.words import duration, part, percent, short, size

_WORDS: dict[str, Callable[[float], str]] = {
    "accuracy": percent,
    "bytes": size,
    "kept": lambda value: f"{value:,.0f} weights",
    "density": lambda value: f"{part(value)} kept",
    "macs": lambda value: f"{short(round(value))} multiply-adds",
    "bits": lambda value: f"{value:.3g} bits a weight",
    "seconds": duration,
}


def figure_text(name: str, value: float | None) -> str:
    """Return the figure of a metric in words, such as "91.20%" or "6.4 kB"; a dash for None."""
    return "—" if value is None else _WORDS[name](value)


def draw_colour_note(runs: Sequence[ComparedRun], picked: Collection[str]) -> list[str]:
    """Return the names of the runs that have a colour. Say so if others have none.

    picked: the ids of the picked runs, which come first.
    """
    from core.charts.compare.colours import coloured_names  # imports altair

    names = coloured_names(runs, picked)
    if len(runs) > len(names):
        st.caption(
            f"{len(runs)} runs are drawn. Those that are picked, and the ones with the highest test"
            f" accuracy, have a colour: {len(names)} in all. The others are grey."
        )
    return names
