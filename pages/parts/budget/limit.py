"""The limit of a budget: which one, how much, and what the wish then is."""

from typing import Any

import streamlit as st

from core.config import BudgetRecipe
from pages.parts.budget.fields import budget_key, draw_budget_number, draw_budget_segments
from pages.parts.shared.address import choose
from pages.parts.shared.suggestion import follow_suggestion, forget_suggestion

LIMITS = {
    "smaller": "Times smaller",
    "bytes": "Bytes",
    "lose": "Points of accuracy",
    "faster": "Times faster",
}
"""The limits, and what each is called."""

_START_SMALLER = 8.0
_START_LOSE = 0.5
_START_FASTER = 1.5
_START_SHARE = 12  # of the float bytes, for a limit in bytes
_HELP = (
    "What must hold. With a size or a speed, the search looks for the best answers within it. With"
    " a loss of accuracy, it looks for the fewest bytes."
)


def refill_limit(recipe: BudgetRecipe) -> None:
    """Put the limit of a recipe into the form, whose widgets must not be drawn yet."""
    for name in LIMITS:
        value = getattr(recipe, name)
        if value is not None:
            choose(budget_key("limit"), name)
            choose(budget_key(name), value)
            forget_suggestion(budget_key(name))


def draw_limit(float_bytes: int) -> dict[str, Any]:
    """Draw the limit, and return it by the name of its field.

    float_bytes: of the network, from which a limit in bytes starts.
    """
    name = draw_budget_segments("limit", LIMITS, "smaller", _HELP)
    if name == "smaller":
        draw_budget_number(
            st.container(), name, value=_START_SMALLER, icon=":material/close_fullscreen:"
        )
    elif name == "bytes":
        start = round_bytes(float_bytes / _START_SHARE)
        follow_suggestion(budget_key(name), start)
        draw_budget_number(st.container(), name, 1000, value=start, icon=":material/save:")
    elif name == "lose":
        draw_budget_number(
            st.container(), name, 0.1, value=_START_LOSE, icon=":material/trending_down:"
        )
    else:
        draw_budget_number(st.container(), name, 0.1, value=_START_FASTER, icon=":material/speed:")
    value = st.session_state[budget_key(name)]
    return {name: value}


def describe_wish(recipe: BudgetRecipe) -> str:
    """Say what holds, and what the search then looks for."""
    if recipe.lose is not None:
        return (
            f"The wish: the **fewest bytes** that lose at most {recipe.lose:g} percentage points on"
            " half A of the test images. Half B reports what they really lose."
        )
    if recipe.faster is not None:
        return (
            "The wish: the **best answers** of a network that is so much faster. Whole channels are"
            " removed, and the speed is measured beside the network before: in float on this"
            " machine, one image at a time."
        )
    return (
        "The wish: the **best answers** within this size. The file is never larger. Blends of"
        " held-back training images judge the answers."
    )


def round_bytes(number: float) -> int:
    """Round a number of bytes to two digits."""
    return int(float(f"{number:.2g}"))
