"""The theme of the page, for pictures whose colours depend on it."""

import streamlit as st


def is_dark() -> bool:
    """Whether the page is dark in the browser. Streamlit runs the page again when that changes."""
    return st.context.theme.type == "dark"
