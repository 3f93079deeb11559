"""The choice of the network in the form of a training."""

import streamlit as st

from core.errors import UserError
from core.models import (
    MODELS,
    TORCHVISION,
    ModelInfo,
    is_timm_name,
    model_info,
    own_networks,
    plain_name,
)
from pages.parts.shared.address import keep_choice_in_address
from pages.parts.shared.presets import START
from pages.parts.shared.words import plain, short

_TIMM = "timm"
_OWN = "Yours"
_BUILT_IN = {"Secateur": MODELS, "torchvision": TORCHVISION}
# The network that is chosen when a person changes to the family.
_FIRST = {"Secateur": START.model, "torchvision": "resnet18", _TIMM: "timm/resnet18"}


class _Names(tuple[str, ...]):
    """The names that an address may have: those listed, and all that begin as timm's do.

    Only timm knows its names, and loading it takes seconds.
    """

    def __contains__(self, name: object) -> bool:
        return super().__contains__(name) or (isinstance(name, str) and is_timm_name(name))


def draw_network_choice() -> None:
    """Draw the choice of the network, with the parameters and multiply-adds of each."""
    state = st.session_state
    own = own_networks()
    if "model" in state:  # a recipe names the version of an own network, and this form does not
        state["model"] = plain_name(state["model"])
    names = _Names([*MODELS, *TORCHVISION, *own.names])
    keep_choice_in_address("model", names, START.model, what="network")
    state["family"] = _family_of(state["model"], own.names)
    st.segmented_control(
        "Network",
        [*_FIRST, _OWN] if own.names else list(_FIRST),
        key="family",
        required=True,
        on_change=_choose_first_of_family,
        help=(
            "Choose a network made for small images, any classifier of torchvision, or one of timm"
            " by its name. Yours are in the folder SECATEUR_MODELS of the server."
        ),
    )
    for problem in own.problems:
        st.warning(plain(problem), icon=":material/rule:")
    _draw_names(state["family"], own.names)
    _draw_facts(state["model"])


def _family_of(name: str, own_names: tuple[str, ...]) -> str:
    if is_timm_name(name):
        return _TIMM
    if name in own_names:
        return _OWN
    return "torchvision" if name in TORCHVISION else "Secateur"


def _choose_first_of_family() -> None:
    family = st.session_state["family"]
    st.session_state["model"] = own_networks().names[0] if family == _OWN else _FIRST[family]


def _draw_names(family: str, own_names: tuple[str, ...]) -> None:
    """Draw the choice within a family: a list, or a field for one of timm's many names."""
    label = "The network by its name"
    if family == _TIMM:
        st.text_input(
            label,
            key="model",
            label_visibility="collapsed",
            persist_state="session",
            placeholder=_FIRST[_TIMM],
            on_change=_add_prefix,
        )
        return
    infos = _BUILT_IN.get(family)
    st.selectbox(
        label,
        list(own_names if infos is None else infos),
        key="model",
        label_visibility="collapsed",
        persist_state="session",
        format_func=lambda name: name if infos is None else _network_line(infos[name]),
    )


def _add_prefix() -> None:
    """Make a name of timm's of whatever was typed, such as resnet18."""
    name = st.session_state["model"].strip()
    st.session_state["model"] = name if is_timm_name(name) else f"{_TIMM}/{name}"


def _draw_facts(name: str) -> None:
    """Describe the network. What is wrong with it is said where the training would start."""
    if name in MODELS or name in TORCHVISION:
        st.caption(_network_text(model_info(name)))
        return
    try:
        with st.spinner("Checking the network …", show_time=True):
            info = model_info(name)
    except UserError:
        return
    st.caption(
        f"{plain(_network_text(info))} It has {short(info.parameters)} parameters and"
        f" {short(info.macs)} multiply-adds."
    )


def _network_line(info: ModelInfo) -> str:
    return f"{info.name} · {short(info.parameters)} parameters · {short(info.macs)} multiply-adds"


def _network_text(info: ModelInfo) -> str:
    if info.side == 32:
        return info.description
    return (
        f"{info.description} Counted for {info.classes:,} classes and {info.side} × {info.side}"
        " pixels."
    )
