"""Suggested values of widgets, which follow other settings until a person changes them."""

import streamlit as st


def follow_suggestion(key: str, value: object) -> None:
    """Put a suggestion into the widget `key`, unless a person has put something else there.

    The widget must not be drawn yet.
    """
    state = st.session_state
    name = _name(key)
    if name in state and state.get(key) == state[name]:
        state[key] = value
    state[name] = value


def forget_suggestion(key: str) -> None:
    """Let the widget `key` keep its value, even if it is the one that was suggested last."""
    st.session_state.pop(_name(key), None)


def _name(key: str) -> str:
    return f"suggested_{key}"
