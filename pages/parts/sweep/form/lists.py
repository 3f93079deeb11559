"""Draws a list of values as a widget that takes several, and keeps it in the address."""

from collections.abc import Callable, Collection, Sequence
from decimal import Decimal, InvalidOperation

import streamlit as st

from core.errors import UserError
from core.models import MODELS, TORCHVISION, is_timm_name, model_info, own_networks
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.words import plain

_SEPARATOR = ","


def choose_several(
    label: str, key: str, options: Sequence[str], default: Sequence[str], help_text: str
) -> list[str]:
    """Draw a choice of several options, and return the chosen ones."""
    _keep_list(key, default, lambda text: text if text in options else None)
    return list(st.multiselect(label, options, key=key, persist_state="session", help=help_text))


def choose_networks(help_text: str) -> list[str]:
    """Draw a choice of several networks, and return their names with the versions of own files.

    Networks of timm are typed. Raises UserError for a network that cannot be used.
    """
    listing = own_networks()
    for problem in listing.problems:
        st.warning(plain(problem), icon=":material/rule:")
    options = [*MODELS, *TORCHVISION, *listing.names]

    def accept(text: str) -> str | None:
        return text if text in options or is_timm_name(text) else None

    _keep_list("models", ["LeNet5"], accept)
    names = st.multiselect(
        "Networks",
        _with_chosen(options, "models"),
        key="models",
        persist_state="session",
        accept_new_options=True,
        help=f"{help_text} Type a network of timm as timm/resnet18.",
    )
    with st.spinner("Checking the networks …", show_time=True):
        return [model_info(name, "Networks").name for name in names]


def list_numbers(
    label: str,
    key: str,
    options: Sequence[str],
    default: Sequence[str],
    parse: Callable[[str], float],
    help_text: str,
) -> list[float]:
    """Draw a list of numbers, to which a person can type further ones, and return them.

    parse: makes the number of a text. Raises UserError for a text that it raises ValueError for.
    """

    def accept(text: str) -> str | None:
        try:
            parse(text)
        except ValueError:
            return None
        return text

    _keep_list(key, default, accept)
    texts = st.multiselect(
        label,
        _with_chosen(options, key),
        key=key,
        persist_state="session",
        accept_new_options=True,
        help=help_text,
    )
    return [_parsed(label, text, parse) for text in texts]


def parse_share(text: str) -> float:
    """Make a fraction of "5%" or "0.05", the same one of both. Raises ValueError."""
    text = text.strip()
    try:
        number = Decimal(text.removesuffix("%"))
    except InvalidOperation:
        raise ValueError(text) from None
    return float(number / 100 if text.endswith("%") else number)


def _parsed(label: str, text: str, parse: Callable[[str], float]) -> float:
    try:
        return parse(text)
    except ValueError:
        raise UserError(f"{label} takes numbers, got {text!r}") from None


def _with_chosen(options: Sequence[str], key: str) -> list[str]:
    """The options, and those that were typed before or came with the address."""
    return list(dict.fromkeys([*options, *st.session_state.get(key, [])]))


def _keep_list(key: str, default: Collection[str], accept: Callable[[str], str | None]) -> None:
    def parse(text: str) -> list[str] | None:
        if not text:
            return []
        values = [value for value in map(accept, text.split(_SEPARATOR)) if value is not None]
        return values or None

    keep_in_address(key, list(default), parse, to_text=_SEPARATOR.join)
