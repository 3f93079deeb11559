"""Draws a recipe's field as a widget, with the field's default, bounds and description."""

from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from streamlit.delta_generator import DeltaGenerator

from pages.parts.shared.address import keep_in_address, number_parser

DEVICES = ["auto", "cpu", "cuda", "mps"]

_LARGEST_INTEGER = 2**53 - 1  # JavaScript counts no further


def number_field(
    place: DeltaGenerator,
    recipe_type: type[BaseModel],
    name: str,
    step: float = 1,
    *,
    key: str = "",
    label: str = "",
    **options: Any,
) -> None:
    """Draw a number input for the field `name` of a recipe.

    The address carries the value. key: the widget's key, `name` if not given. label: made from
    `name` if not given. options: further arguments of `st.number_input`, such as `value` instead of
    the field's default.
    """
    field = recipe_type.model_fields[name]
    is_whole = "int" in str(field.annotation)
    number_type = int if is_whole else float
    low, high = _bounds(field)
    if is_whole and high is not None:
        high = min(high, _LARGEST_INTEGER)
    arguments: dict[str, Any] = {
        "min_value": None if low is None else number_type(low),
        "max_value": None if high is None else number_type(high),
        "value": field.default,
        "step": number_type(step),
        "format": None if is_whole else "%g",
        "persist_state": "session",
        "help": help_text(recipe_type, name),
    } | options
    key = key or name
    parse = number_parser(number_type, arguments["min_value"], arguments["max_value"])
    keep_in_address(key, arguments["value"], parse)
    place.number_input(label or name.replace("_", " ").capitalize(), key=key, **arguments)


def help_text(recipe_type: type[BaseModel], name: str) -> str:
    """The description of the field `name` of a recipe."""
    return recipe_type.model_fields[name].description or ""


def _bounds(field: FieldInfo) -> tuple[float | None, float | None]:
    """The lowest and the highest value of a field, None where it has no bound."""
    bounds = {
        kind: getattr(item, kind)
        for item in field.metadata
        for kind in ("ge", "gt", "le", "lt")
        if hasattr(item, kind)
    }
    low = bounds.get("ge", bounds.get("gt"))
    high = bounds.get("le", bounds.get("lt"))
    return low, high
