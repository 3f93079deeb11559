"""The part of a sweep's form that compresses each network: clusters, bits, or a budget."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import streamlit as st

from core.config import BudgetRecipe
from core.errors import UserError
from pages.parts.budget.limit import LIMITS
from pages.parts.shared.address import choice_parser, keep_in_address
from pages.parts.shared.fields import help_text, number_field
from pages.parts.sweep.form.lists import choose_several, list_numbers

COMPRESSIONS = {"none": "No", "quantize": "Clusters or bits", "budget": "A budget"}
"""What can be done with each network, and what it is called."""

_HELP = (
    "Clusters or bits: the same ones for every layer. A budget: a search finds them for each layer,"
    " so that the packed file keeps a limit."
)


@dataclass(frozen=True)
class _LimitList:
    """The numbers that a list of limits offers. default: those that are chosen at first."""

    options: list[str]
    default: list[str]
    parse: Callable[[str], float]


_LIMIT_LISTS = {
    "bytes": _LimitList(["10000", "20000", "50000", "100000"], ["20000"], int),
    "smaller": _LimitList(["4", "8", "16", "32"], ["8"], float),
    "lose": _LimitList(["0.5", "1", "2"], ["0.5"], float),
}


def draw_compression(key: str, choices: Mapping[str, str]) -> dict[str, Any]:
    """Draw the choice of a compression and its lists, and return them as arguments of a `Grid`.

    choices: some of COMPRESSIONS. Raises UserError for a value that is not a number.
    """
    keep_in_address(key, _default(choices), choice_parser(choices))
    st.segmented_control(
        "Compress every network",
        list(choices),
        format_func=choices.__getitem__,
        key=key,
        required=True,
        persist_state="session",
        help=_HELP,
    )
    match st.session_state[key]:
        case "quantize":
            return _draw_quantization_lists()
        case "budget":
            return {"budget": _draw_budget_lists()}
    return {}


def _default(choices: Mapping[str, str]) -> str:
    """Return the first choice, or clusters and bits for an address that lists some."""
    address = st.session_state["address_at_opening"]
    is_listed = bool(address.get("clusters") or address.get("bits"))
    return "quantize" if is_listed else next(iter(choices))


def _draw_quantization_lists() -> dict[str, Any]:
    """Draw the lists of clusters, bits and roundings."""
    clusters = list_numbers(
        "Clusters",
        "clusters",
        ["64", "32", "16", "8", "5", "4", "3"],
        ["16", "8", "5"],
        int,
        "Numbers of different values of a layer's weights. Leave it empty for none.",
    )
    bits = list_numbers(
        "Bits",
        "bits",
        ["8", "6", "4", "3", "2"],
        [],
        int,
        "Bits of a weight. With clusters, too, the centroids are rounded to them.",
    )
    roundings = choose_several(
        "Roundings",
        "roundings",
        ["compensated", "nearest"],
        ["compensated"],
        "compensated: the weights of a layer make up for each other's rounding errors.",
    )
    if not clusters and not bits:
        raise UserError("Choose clusters or bits.")
    kmeans = {"clusters": clusters, "rounding": roundings} if clusters else None
    affine: dict[str, Any] | None = {"bits": bits} if bits else None
    if affine is not None and kmeans is None:
        affine["rounding"] = roundings
    return {"kmeans": kmeans, "affine": affine}


def _draw_budget_lists() -> dict[str, list[Any]]:
    """Draw one kind of limit with a list of numbers, and the minutes."""
    keep_in_address("limit", "bytes", choice_parser(_LIMIT_LISTS))
    st.segmented_control(
        "Limit",
        list(_LIMIT_LISTS),
        format_func=LIMITS.__getitem__,
        key="limit",
        required=True,
        persist_state="session",
        help="The result of a limit of size is the network with the best answers within it. That of"
        " a limit of accuracy is the smallest one.",
    )
    field = st.session_state["limit"]
    offered = _LIMIT_LISTS[field]
    numbers = list_numbers(
        LIMITS[field],
        f"limit_{field}",
        offered.options,
        offered.default,
        offered.parse,
        help_text(BudgetRecipe, field),
    )
    number_field(
        st.container(),
        BudgetRecipe,
        "minutes",
        key="sweep_minutes",
        label="Minutes for each",
        value=float(BudgetRecipe.model_fields["minutes"].default),
    )
    return {field: numbers, "minutes": [st.session_state["sweep_minutes"]]}
