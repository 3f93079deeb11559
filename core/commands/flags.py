"""Turn the fields of a recipe into command-line flags, and a recipe back into flags.

A table of flags maps the name of a field to its flag, such as {"batch_size": "--batchsize"}.
A flag that is not typed is missing in the parsed options, so that the recipe's default applies.
"""

import argparse
from collections.abc import Container, Mapping
from typing import Any, get_args

from pydantic import BaseModel

FlagTable = Mapping[str, str]


def add_field_flag(
    parser: argparse.ArgumentParser,
    recipe_type: type[BaseModel],
    name: str,
    *flags: str,
    **settings: Any,
) -> None:
    """Add the flag of the field `name` of a recipe to `parser`.

    flags: the flag, then its aliases. settings: arguments of `add_argument` that differ from those
    that follow from the field. A bool field becomes a pair of switches, --flag and --no-flag.
    """
    annotation = recipe_type.model_fields[name].annotation
    from_field: dict[str, Any] = {
        "default": argparse.SUPPRESS,
        "help": field_help(recipe_type, name),
    }
    if annotation is bool:
        from_field["action"] = argparse.BooleanOptionalAction
    elif "action" not in settings:
        from_field["type"] = _number_type(annotation)
    parser.add_argument(*flags, **(from_field | settings))


def field_help(recipe_type: type[BaseModel], name: str) -> str:
    """Return a field's description and default value as the help text of a flag."""
    field = recipe_type.model_fields[name]
    text = field.description or ""
    if not field.is_required() and field.default is not None:
        text = f"{text} [{field.get_default(call_default_factory=True)}]"
    return text.replace("%", "%%")


def typed_values(options: argparse.Namespace, flags: FlagTable) -> dict[str, Any]:
    """Return the values of the flags that were typed, by the names of their fields."""
    parsed = vars(options)
    destinations = {name: flag.strip("-").replace("-", "_") for name, flag in flags.items()}
    return {name: parsed[key] for name, key in destinations.items() if key in parsed}


def flags_that_differ(
    recipe: BaseModel, flags: FlagTable, without: Container[str] = ()
) -> list[str]:
    """Return the words of all flags whose value differs from the default, in the table's order.

    A field that has no default is always written. without: names of fields that are not written.
    """
    words = []
    fields = type(recipe).model_fields
    for name, flag in flags.items():
        if name not in fields or name in without:
            continue
        value = getattr(recipe, name)
        if value != fields[name].get_default(call_default_factory=True):
            words += flag_words(flag, value)
    return words


def flag_words(flag: str, value: object) -> list[str]:
    """Return the words that set a flag to a value on the command line."""
    match value:
        case bool():
            return [flag if value else flag.replace("--", "--no-", 1)]
        case dict():
            return [flag, *(f"{key}={number}" for key, number in value.items())]
        case tuple():
            # One word, because the first number may begin with a minus.
            return [f"{flag}={join_numbers(value)}"]
        case float():
            return [flag, str(value).removesuffix(".0")]
        case _:
            return [flag, str(value)]


def join_numbers(numbers: tuple[float, ...]) -> str:
    """Return the numbers with commas between them, such as 0.5,0.5,0.5."""
    return ",".join(str(number) for number in numbers)


def _number_type(annotation: object) -> type[int] | type[float] | None:
    """Return int or float for a field of such numbers, also where it may be None; else None."""
    for candidate in (annotation, *get_args(annotation)):
        if candidate is int:
            return int
        if candidate is float:
            return float
    return None
