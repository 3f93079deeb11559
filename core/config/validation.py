"""Makes recipes of what a person typed, and says in one sentence what is wrong with it."""

from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from core.errors import UserError

_RecipeT = TypeVar("_RecipeT", bound=BaseModel)


def validate_recipe(
    recipe_type: type[_RecipeT], values: dict[str, Any], names: dict[str, str] | None = None
) -> _RecipeT:
    """Make a recipe of `values`. Raises UserError that describes the first error in one sentence.

    `names` maps the dotted path of a field ("prune.density") to the word that the person typed
    ("--retrain"). A sentence is for example "--retrain must be in (0, 1], got 5".
    """
    try:
        return recipe_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    name = (names or {}).get(path, path)
    complaint = _complaint(recipe_type, first)
    raise UserError(f"{name} {complaint}, got {first['input']!r}{_percent_hint(complaint, first)}")


def _complaint(recipe_type: type[BaseModel], error: ErrorDetails) -> str:
    """Say what a value must be. A number's whole range is more useful than the bound it broke."""
    if error["type"] == "extra_forbidden":
        return "is not a setting"
    field = _field_at(recipe_type, error["loc"])
    number_range = _range_in_words(field) if field else None
    if number_range and error["type"] != "pattern":
        return f"must be {number_range}"
    return error["msg"].replace("Input should be", "must be").replace("Value should", "must")


def _percent_hint(complaint: str, error: ErrorDetails) -> str:
    """Ask for the fraction that was meant where a percentage was given, such as 50 for 0.5."""
    value = error["input"]
    if not complaint.endswith("in (0, 1]") or not isinstance(value, int | float):
        return ""
    return f": did you mean {value / 100:g}?" if 1 < value <= 100 else ""


def _range_in_words(field: FieldInfo) -> str | None:
    """Return "in (0, 1]", "at least 2" or "more than 0"; None for a field without a lower bound."""
    bounds: dict[str, Any] = {}
    for constraint in field.metadata:
        for name in ("gt", "ge", "lt", "le"):
            if hasattr(constraint, name):
                bounds[name] = getattr(constraint, name)
    low = bounds.get("gt", bounds.get("ge"))
    high = bounds.get("lt", bounds.get("le"))
    if low is None:
        return None
    if high is None:
        return f"more than {low}" if "gt" in bounds else f"at least {low}"
    opening = "(" if "gt" in bounds else "["
    closing = ")" if "lt" in bounds else "]"
    return f"in {opening}{low}, {high}{closing}"


def _field_at(model: type[BaseModel], path: tuple[int | str, ...]) -> FieldInfo | None:
    """Find the field at a path through nested models, or return None."""
    field = None
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            return None
        model = _nested_model(field) or model
    return field


def _nested_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field holds, such as Prune for `Prune | None`."""
    for option in (field.annotation, *get_args(field.annotation)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None
