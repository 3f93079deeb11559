"""Keeps a page's settings in its address, so that a link or a refresh brings them back.

The address is read when a page is opened. Later the session knows the settings, and the address
follows them: it names those that are not at their default. Streamlit makes a history entry of each
value that a script puts into `st.query_params`, and of several that `bind="query-params"` brings
back. So a small script in the browser replaces the address instead, and each visit of a page is one
step of the Back button.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple, TypeVar

import streamlit as st

from pages.parts.shared.words import plain

_Value = TypeVar("_Value")

_REPLACE_ADDRESS = """
export default function ({ data }) {
  let timer
  const replace = (attempts) => {
    const url = new URL(window.location.href)
    if (url.pathname.split("/").pop() !== data.page) {
      // The browser can still show the page before, or the page after.
      if (attempts > 0) timer = setTimeout(() => replace(attempts - 1), 50)
      return
    }
    for (const [name, text] of Object.entries(data.settings)) {
      if (text === null) url.searchParams.delete(name)
      else url.searchParams.set(name, text)
    }
    if (url.href !== window.location.href) {
      window.history.replaceState(window.history.state, "", url.href)
    }
  }
  replace(40)
  return () => clearTimeout(timer)
}
"""

_replace_address = st.components.v2.component("secateur_address", js=_REPLACE_ADDRESS)


def _text(value: object) -> str:
    if value is None:
        return ""
    return str(value).lower() if isinstance(value, bool) else str(value)


class _Setting(NamedTuple):
    """A setting that the address carries.

    key: the key of its widget. default: the value that the address does not name. to_text: makes
    the text in the address of another value.
    """

    key: str
    default: Any
    to_text: Callable[[Any], str]


# -- called by the entry file and at the end of a page --


def open_page(page: str) -> None:
    """Remember the address with which a page was opened. Call it at the start of every run."""
    state = st.session_state
    if state.get("address_page") != page:
        state["address_page"] = page
        state["address_at_opening"] = st.query_params.to_dict()
        state["address_names"] = set()
    state["address_settings"] = {}


def write_address() -> None:
    """Make the address name the settings of this run that are not at their default."""
    state = st.session_state
    texts: dict[str, str | None] = dict.fromkeys(sorted(state["address_names"]))
    for name, setting in state["address_settings"].items():
        value = state.get(setting.key, setting.default)
        if value != setting.default:
            texts[name] = setting.to_text(value)
    _replace_address(key="address", data={"page": state["address_page"], "settings": texts})


# -- called before a widget is drawn --


def take_from_address(name: str) -> str | None:
    """Return what the page was opened with under this name, the first time only."""
    st.session_state["address_names"].add(name)
    return st.session_state["address_at_opening"].pop(name, None)


def keep_in_address(
    key: str,
    default: object,
    parse: Callable[[str], object],
    *,
    name: str = "",
    to_text: Callable[[Any], str] = _text,
) -> None:
    """Give the widget `key`, which must not be drawn yet, its value, and keep it in the address.

    The value is the one in the address with which the page was opened, else the one that a person
    chose earlier, else `default`. parse: makes a value of a text in the address, None of an
    impossible one. name: the name in the address, `key` if not given. to_text: makes such a text of
    a value.
    """
    name = name or key
    state = st.session_state
    is_opening = name not in state["address_names"]
    last_defaults = state.setdefault("address_defaults", {})
    # Pages that share a choice can have other defaults. Only what a person chose is shared.
    is_untouched = key in last_defaults and state.get(key) == last_defaults[key]
    text = take_from_address(name)
    value = None if text is None else parse(text)
    if value is not None:
        state[key] = value
    elif key not in state or (is_opening and is_untouched):
        state[key] = default
    last_defaults[key] = default
    state["address_settings"][name] = _Setting(key, default, to_text)


def choose(key: str, value: object) -> None:
    """Choose the value of the widget `key`, which must not be drawn yet, as a person would."""
    st.session_state[key] = value
    st.session_state.get("address_defaults", {}).pop(key, None)


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
    more: further arguments of `st.selectbox`.
    """
    keep_choice_in_address(key, options, default, what=what, name=address or key)
    return st.selectbox(label, options, key=key, persist_state="session", **more)


def keep_choice_in_address(
    key: str, options: Collection[str], default: str | None, *, what: str, name: str = ""
) -> None:
    """Keep a choice among `options` in the address, as `keep_in_address` does.

    An earlier choice that is no option any more becomes the default, which is the first option if
    not given. Warns about an address that names no option, in which `what` is a word for one.
    """

    def parse(text: str) -> str | None:
        if text in options:
            return text
        st.warning(
            f"There is no {what} {plain(repr(text))} here. It was deleted, or it does not fit.",
            icon=":material/search_off:",
        )
        return None

    if default not in options:
        default = next(iter(options))
    if key in st.session_state and st.session_state[key] not in options:
        st.session_state[key] = default
    keep_in_address(key, default, parse, name=name)


# -- texts in the address --


def parse_flag(text: str) -> bool | None:
    """Make a bool of "true" or "false"."""
    return {"true": True, "false": False}.get(text.lower())


def number_parser(
    kind: type[int] | type[float], low: float | None, high: float | None
) -> Callable[[str], float | None]:
    """Return a function that makes a number of a text, None of one that is out of range."""

    def parse(text: str) -> float | None:
        try:
            number = kind(text)
        except ValueError:
            return None
        is_low = low is not None and number < low
        is_high = high is not None and number > high
        return None if is_low or is_high or number != number else number

    return parse


def choice_parser(options: Collection[_Value]) -> Callable[[str], _Value | None]:
    """Return a function that finds the option whose text this is."""
    texts = {_text(option): option for option in options}
    return texts.get
