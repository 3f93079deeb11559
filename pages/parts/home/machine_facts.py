"""The machine that runs the app, on the home page: its cores, memory, torch and GPU."""

import streamlit as st
from streamlit.delta_generator import DeltaGenerator

from core import machine


def draw_machine() -> None:
    """Draw the facts about the machine as metrics."""
    facts = _machine()
    with st.container(horizontal=True):
        st.metric("Cores", facts.cores, help=facts.cpu, border=True)
        st.metric("Memory", _gibibytes(facts.memory), border=True)
        st.metric(
            "torch", facts.torch, help=f"Python {facts.python} on {facts.system}", border=True
        )
        gpu_place = st.container()
    st.caption(facts.cpu)
    _draw_gpu(gpu_place)  # last, because it may load torch


def _gibibytes(memory: int) -> str:
    return f"{memory / 2**30:.1f} GiB" if memory else "—"


def _draw_gpu(place: DeltaGenerator) -> None:
    gpus = _gpus()
    if not gpus:
        help_text = "A GPU trains in minutes what takes hours on a CPU."
        place.metric("GPU", "none", border=True, help=help_text)
        return
    help_text = f"torch can use {len(gpus)} GPU{'s' if len(gpus) > 1 else ''}."
    place.metric("GPU", gpus[0].name, border=True, help=help_text)


@st.cache_resource
def _machine() -> machine.Machine:
    return machine.describe_machine()


@st.cache_resource(show_spinner=False)
def _gpus() -> list[machine.Gpu]:
    return machine.find_gpus()
