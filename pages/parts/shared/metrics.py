"""A metric in a box, with a note below it that is neither good nor bad."""

import streamlit as st


def draw_metric(label: str, value: str, note: str | None = None, help_text: str = "") -> None:
    """Draw a metric in a box. `note` is drawn below the value in grey, without an arrow."""
    st.metric(
        label,
        value,
        note,
        delta_color="off",
        delta_arrow="off",
        border=True,
        help=help_text or None,
    )
