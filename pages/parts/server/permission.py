"""Buttons that a person may not use are disabled, and say why. The store refuses the click, too."""

from typing import TypedDict

import streamlit as st

from core.runs.access.access import Owned
from pages.parts.server.login import access
from pages.parts.shared.words import plain


class Permission(TypedDict):
    """Arguments of a widget."""

    disabled: bool
    help: str | None


def permission(
    owned: Owned | None = None, help_text: str | None = None, disabled: bool = False
) -> Permission:
    """Return the arguments of a widget that changes a run or a sweep, or starts something.

    owned: what it changes, None for something new. help_text, disabled: for those who may use it.
    """
    reason = access().refusal(owned)
    if reason:
        return {"disabled": True, "help": plain(reason)}
    return {"disabled": disabled, "help": help_text}


def draw_refusal(owned: Owned) -> None:
    """Say why the person may not change what somebody else owns; draw nothing if they may."""
    may = access()
    reason = may.refusal(owned)
    if reason and not may.rules.read_only:  # which the page says already
        st.caption(f":material/lock: {plain(reason)}")
