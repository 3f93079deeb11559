"""Keeps a choice in the page's address, so that a link or a refresh brings it back.

A select box with `bind="query-params"` would put its label into the address instead of its value.
"""

from collections.abc import Collection, Sequence
from typing import Any

import streamlit as st

from pages.parts.shared.words import plain


def address_selectbox(
    label: str,
    key: str,
    options: Sequence[str],
    default: str | None = None,
    *,
    what: str,
    address: str | None = None,
    **more: Any,
) -> str:
    """Draw a select box whose value the address carries as ?address=VALUE, and return the value.

    address: the name in the address, `key` if not given. what: a word for an option, for the
    warning about an address that names none. default: the first value, `options[0]` if not given.
    more: further arguments of `st.selectbox`. A change of the address wins over an earlier choice.
    """
    address = address or key
    choice_from_address(key, address, options, default, what)
    chosen = st.selectbox(label, options, key=key, persist_state="session", **more)
    choice_to_address(key, address, chosen)
    return chosen


def choice_from_address(
    key: str, address: str, options: Collection[str], default: str | None, what: str
) -> None:
    """Set the value of the widget `key`, which must not be drawn yet.

    It is the value in the address if the address has changed, else the earlier choice, else
    `default`, else the first option. Warns about an address that names no option.
    """
    wanted = st.query_params.get(address)
    has_changed = wanted and wanted != st.session_state.get(_last_address(key))
    if has_changed and wanted in options:
        st.session_state[key] = wanted
        return
    if has_changed:
        st.warning(
            f"There is no {what} {plain(repr(wanted))} here. It was deleted, or it does not fit.",
            icon=":material/search_off:",
        )
    if st.session_state.get(key) in options:
        st.session_state[key] = st.session_state[key]
    elif default in options:
        st.session_state[key] = default
    else:
        st.session_state[key] = next(iter(options))


def choice_to_address(key: str, address: str, chosen: str) -> None:
    """Write the value of the widget `key` into the address."""
    if st.query_params.get(address) != chosen:
        st.query_params[address] = chosen
    st.session_state[_last_address(key)] = chosen


def _last_address(key: str) -> str:
    return f"{key}_in_address"
