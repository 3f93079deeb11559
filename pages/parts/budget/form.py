"""The form of the budget page, which makes a recipe."""

from typing import Any, get_args

import streamlit as st

from core.config import BudgetKind, BudgetRecipe, validate_recipe
from core.errors import UserError
from core.runs.run import Run
from pages.parts.budget.fields import (
    AS_TIME_ALLOWS,
    BUDGET_LABELS,
    budget_key,
    default_of,
    draw_budget_choice,
    draw_budget_number,
    minutes_text,
)
from pages.parts.budget.given_choice import draw_given_choice, give_choice, given_choice
from pages.parts.budget.limit import describe_wish, draw_limit, refill_limit
from pages.parts.shared.address import choose, keep_in_address
from pages.parts.shared.fields import DEVICES, help_text

_KIND_LABELS: dict[BudgetKind, str] = {
    "share": "Share (clusters)",
    "round": "Round (bits)",
    "prune": "Prune and share",
}
_MINUTES = (2, 20, 120)
_TIME_KEY = "budget_time"
_PLAIN_FIELDS = (
    "minutes",
    "images",
    "trials",
    "tuning_epochs",
    "lr",
    "batch_size",
    "rest",
    "seed",
    "device",
)


def refill_budget_form(run: Run) -> None:
    """Put a run's recipe and its parent into the form, whose widgets must not be drawn yet.

    Raises UserError for a run that did not fit a budget.
    """
    recipe = run.recipe
    if not isinstance(recipe, BudgetRecipe):
        raise UserError(f"“{run.name}” did not fit a budget, so it has no settings to copy.")
    for name in _PLAIN_FIELDS:
        choose(budget_key(name), getattr(recipe, name))
    choose(budget_key("kinds"), list(recipe.kinds))
    refill_limit(recipe)
    choose("run", run.config.parent)
    give_choice(str(run.config.parent), recipe.layers)


def draw_budget_form(parent: Run, float_bytes: int) -> BudgetRecipe:
    """Draw the form, and return the recipe. Raises UserError if it is not valid.

    parent: the model's run. float_bytes: of its network.
    """
    layers = given_choice(parent.id)
    values: dict[str, Any] = {"layers": layers}
    wish = None
    if layers:
        draw_given_choice(layers)
    else:
        values = draw_limit(float_bytes)
        wish = st.empty()
    _draw_time()
    is_faster = "faster" in values
    if not layers and not is_faster:
        values["kinds"] = _draw_kinds()
    with st.expander("More settings", icon=":material/tune:"):
        _draw_more_settings(is_search=not layers, is_faster=is_faster)
    unused = {"images", "trials"} if is_faster else {"trials"} if layers else set()
    used = [name for name in _PLAIN_FIELDS if name not in unused]
    values |= {name: st.session_state[budget_key(name)] for name in used}
    recipe = validate_recipe(BudgetRecipe, values, BUDGET_LABELS)
    if wish is not None:
        wish.caption(describe_wish(recipe))
    return recipe


# -- time --


def _draw_time() -> None:
    """Draw usual times to spend, and a field for any number of minutes."""
    left, right = st.columns([3, 1], vertical_alignment="bottom")
    place = right.container()
    draw_budget_number(place, "minutes", value=float(_MINUTES[0]))
    minutes = st.session_state[budget_key("minutes")]
    st.session_state[_TIME_KEY] = minutes if minutes in _MINUTES else None
    left.segmented_control(
        "Time to spend",
        _MINUTES,
        format_func=minutes_text,
        key=_TIME_KEY,
        on_change=_take_time,
        help=help_text(BudgetRecipe, "minutes"),
    )


def _take_time() -> None:
    minutes = st.session_state[_TIME_KEY]
    if minutes is not None:
        st.session_state[budget_key("minutes")] = float(minutes)


# -- what a layer may get --


def _draw_kinds() -> list[BudgetKind]:
    keep_in_address(budget_key("kinds"), list(default_of("kinds")), _parse_kinds, to_text=",".join)
    st.pills(
        BUDGET_LABELS["kinds"],
        get_args(BudgetKind),
        selection_mode="multi",
        format_func=_KIND_LABELS.__getitem__,
        key=budget_key("kinds"),
        persist_state="session",
        help=help_text(BudgetRecipe, "kinds"),
    )
    chosen = st.session_state[budget_key("kinds")]
    if not chosen:
        raise UserError(f"{BUDGET_LABELS['kinds']}: choose at least one.")
    if "prune" in chosen and "share" not in chosen:
        pruned = _KIND_LABELS["prune"]
        raise UserError(
            f"{BUDGET_LABELS['kinds']}: “{pruned}” needs “{_KIND_LABELS['share']}”, too."
        )
    return [kind for kind in get_args(BudgetKind) if kind in chosen]


def _parse_kinds(text: str) -> list[str] | None:
    kinds = text.split(",")
    is_known = set(kinds) <= set(get_args(BudgetKind))
    return kinds if is_known and len(set(kinds)) == len(kinds) else None


# -- more settings --


def _draw_more_settings(*, is_search: bool, is_faster: bool) -> None:
    left, right = st.columns(2)
    if not is_faster:
        draw_budget_number(left, "images", 64, placeholder=AS_TIME_ALLOWS)
        draw_budget_number(right, "trials", placeholder=AS_TIME_ALLOWS, disabled=not is_search)
    draw_budget_number(left, "tuning_epochs", placeholder=AS_TIME_ALLOWS)
    draw_budget_number(right, "lr", 0.001)
    draw_budget_number(left, "batch_size", 32)
    draw_budget_number(right, "seed")
    rest_choices = get_args(BudgetRecipe.model_fields["rest"].annotation)
    draw_budget_choice(left, "rest", rest_choices)
    draw_budget_choice(right, "device", DEVICES, takes_others=True)
