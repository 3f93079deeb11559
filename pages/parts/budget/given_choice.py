"""A choice for every layer that the form holds in place of a limit.

It comes from a point of an earlier search, or from the address, as ?layers=NAME:5c,NAME:4b,...
"""

import streamlit as st

from core.errors import UserError
from core.runs.layer_choices import LayerChoices, choice_code, choice_text, parse_choice
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.words import plain

_KEY = "budget_layers"
_OWNER = "budget_layers_of"


def given_choice(parent: str) -> dict[str, dict[str, float]]:
    """Return the choice for each layer of a run's network, empty if the search is to find it.

    After a change of the model it is empty. The address carries it.
    """
    state = st.session_state

    def parse(text: str) -> dict[str, dict[str, float]] | None:
        state[_OWNER] = parent
        return parse_layers(text)

    keep_in_address(_KEY, {}, parse, name="layers", to_text=layers_text)
    if state.get(_OWNER) != parent:
        give_choice(parent, {})
    choice: dict[str, dict[str, float]] = state[_KEY]
    return choice


def give_choice(parent: str, layers: LayerChoices) -> None:
    """Put a choice for each layer of a run's network into the form; none if it is empty."""
    st.session_state[_KEY] = {name: dict(choice) for name, choice in layers.items()}
    st.session_state[_OWNER] = parent


def layers_text(layers: LayerChoices) -> str:
    """Return the choice as the address carries it."""
    return ",".join(f"{name}:{choice_code(choice)}" for name, choice in layers.items())


def parse_layers(text: str) -> dict[str, dict[str, float]] | None:
    """Return the choice in an address; None, with a warning, for what is none."""
    layers = {}
    for item in text.split(","):
        name, _, code = item.rpartition(":")
        try:
            if not name or name in layers:
                raise UserError(f"takes each layer once, such as fc.weight:5c, got {item!r}")
            layers[name] = parse_choice(code)
        except UserError as error:
            st.warning(f"layers in the address {plain(str(error))}.", icon=":material/search_off:")
            return None
    return layers


def draw_given_choice(layers: LayerChoices) -> None:
    """Draw the choice as a table, and the button that goes back to a search."""
    st.markdown("**The choice for each layer is made**")
    st.caption(
        "Nothing is searched: the layers are rounded together, tuned, packed and tested, so it"
        " takes less time than a search. Half B of the test images reports."
    )
    rows = {name: choice_text(choice) for name, choice in layers.items()}
    st.dataframe(
        {"Layer": list(rows), "Choice": list(rows.values())},
        hide_index=True,
        key="given_layers",
        height=min(38 + 35 * len(rows), 300),
        alt=f"The choice for each of {len(rows)} layers",
    )
    st.button(
        "Search instead",
        icon=":material/undo:",
        key="search_instead",
        on_click=_forget,
        help="Leaves this choice, and asks for a limit.",
    )


def _forget() -> None:
    st.session_state[_KEY] = {}
