"""The change of the accuracy on each class, as a chart and as a table."""

from typing import Any

import streamlit as st

from pages.parts.answers.comparison import AnsweringModel, Comparison
from pages.parts.answers.words import NEAR_THE_LIMIT

_HELP = "95% interval for models that answer the same images (Agresti and Min)."


def draw_classes(comparison: Comparison, other: AnsweringModel) -> None:
    """Draw what changes from the first model to another one, the class that lost most first."""
    from core.charts.answers.classes import (  # imports altair
        class_alt_text,
        class_chart,
        class_table,
        most_changed,
    )

    changes = comparison.changes[other.letter]
    table = class_table(changes, comparison.classes)
    drawn = most_changed(table)
    st.altair_chart(class_chart(drawn), key="class_chart", alt=class_alt_text(drawn))
    few = "" if len(drawn) == len(table) else f" The chart has the {len(drawn)} that change most."
    fewest, most = table["images"].min(), table["images"].max()
    images = f"{most:,}" if fewest == most else f"{fewest:,} to {most:,}"
    st.caption(
        f"{len(table):,} classes of {images} test images each.{few} The bars are 95% intervals, and"
        f" the colour is by McNemar's exact test. {NEAR_THE_LIMIT} Of"
        " 100 such intervals about 5 miss the true value by chance, so one class that seems to"
        " change is weak evidence."
    )
    st.dataframe(
        table.drop(columns="sign"),
        hide_index=True,
        key="class_table",
        alt="Accuracy of both models on each class, and how it changed",
        column_config=_columns(comparison.first, other),
    )


def _columns(first: AnsweringModel, other: AnsweringModel) -> dict[str, Any]:
    number = st.column_config.NumberColumn
    return {
        "class": st.column_config.TextColumn("Class", pinned=True),
        "images": number("Images", format="localized"),
        "first": number(f"Accuracy of {first.letter}", format="%.1f%%"),
        "second": number(f"Accuracy of {other.letter}", format="%.1f%%"),
        "change": number("Change (points)", format="%+.1f"),
        "low": number("From", format="%+.1f", help=_HELP),
        "high": number("To", format="%+.1f", help=_HELP),
        "broken": number("Broken", help="Only the first model is right."),
        "fixed": number("Fixed", help="Only the first model is wrong."),
    }
