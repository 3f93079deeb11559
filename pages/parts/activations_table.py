"""All figures: a line a layer."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core.inspect import figures
from core.models import info
from pages.parts import activations_looks
from pages.parts.activations_sources import Subject
from pages.parts.image_input import Picture

if TYPE_CHECKING:
    from core.inspect.beside import Beside

QUICK = 2e10  # multiply-adds of a batch that is measured unasked
HELP = {"Channels": "How many, and their height and width.", "Mean": "Over the positions in this picture.",
        "Max": "The greatest value in this picture.", "Zeros": "The share of values that are exactly 0.",
        "Dead": "0 everywhere in this picture.",
        "Dead in batch": f"0 everywhere in {activations_looks.BATCH} test images.",
        "Difference": "The mean of |other − A|.",
        "Cosine": "The cosine similarity to A: 1 is the same but for a factor, 0 unrelated.",
        "Newly dead": "Dead here, but alive in A."}


def show(subjects: list[Subject], picture: Picture, seen: "Beside", by: str, root: Path) -> None:
    """Draw the table of all layers."""
    lines = figures.by_layer(seen, batches(subjects, root))
    table(lines, key="layers", alt="The figures of every ReLU", height="content")


def batches(subjects: list[Subject], root: Path) -> list:
    """Draw the switch for the batch; its statistics for each subject, None where it is off."""
    cost = max(info(subject.facts.model).macs for subject in subjects) * activations_looks.BATCH
    asked = st.toggle(f"Also over {activations_looks.BATCH} test images", cost < QUICK, key="batch",
                      help="Whether a channel is dead for a whole batch, and not only for this picture. A large "
                           "network takes some seconds.")
    return [activations_looks.batch(subject, root) if asked else None for subject in subjects]


def table(lines: list[dict], key: str, alt: str, **more):
    """Draw the lines, with what each column means."""
    frame = pd.DataFrame(lines)
    return st.dataframe(frame, hide_index=True, key=key, alt=alt, column_config={
        name: _column(name) for name in frame.columns}, **more)


def _column(name: str):
    kind = next((kind for kind in sorted(HELP, key=len, reverse=True) if name.startswith(kind)), name)
    if kind == "Zeros":
        return st.column_config.ProgressColumn(name, min_value=0, max_value=1, format="percent", help=HELP[kind])
    if kind in ("Mean", "Max", "Difference", "Cosine"):
        return st.column_config.NumberColumn(name, format="%.3f", help=HELP[kind])
    return st.column_config.Column(name, help=HELP.get(kind))
