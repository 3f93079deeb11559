"""Home: what this is, one button that shows it, what was done lately, and the machine that does it."""

import secrets

import streamlit as st

from core.inspect import machine
from core.runs import launch
from pages.parts import form, shell
from pages.parts.states import badge, percent, plain

TOUR, _ = form.PRESETS["Quick"]

shell.guard()
store = shell.store()

st.title("Secateur")
st.markdown("Most weights of an image classifier are never needed: SNIP finds them **before** training, in one look at "
            "a single batch.  \nPick a network, see what would be cut, train what is left, and leave with the weights.")


@st.cache_resource
def facts() -> machine.Machine:
    return machine.machine()


@st.cache_resource(show_spinner=False)
def gpus() -> list[machine.Gpu]:
    return machine.gpus()


with st.container(horizontal=True, vertical_alignment="center"):
    touring = st.button("Quick tour", icon=":material/play_arrow:", type="primary", key="tour")
    st.page_link("pages/train.py", label="Set up a training", icon=":material/content_cut:")
st.caption("The tour cuts 90% of LeNet5 and teaches the rest to read handwritten digits: well under a minute, "
           "nothing to download.")
if touring:  # a second click finds the same token, and so the same run
    with shell.telling():
        run = launch.start(store.create(TOUR, "Quick tour", token=st.session_state["tour_token"]), shell.data())
        shell.open_run(run.id)
else:
    st.session_state["tour_token"] = secrets.token_hex(16)

st.subheader("Recent runs")
active = any(run.active for run in store.list()[:5])


@st.fragment(run_every=2 if active else None, key="recent")
def recent() -> None:
    runs = store.list()[:5]
    if active and not any(run.active for run in runs):
        st.rerun()
    if not runs:
        st.info("Nothing has run yet. The quick tour is a good first one.", icon=":material/eco:")
    for run in runs:
        with st.container(border=True, horizontal=True, vertical_alignment="center", key=f"recent-{run.id}"):
            badge(run)
            st.page_link("pages/runs.py", label=plain(run.name), query_params={"run": run.id}, width="stretch")
            st.markdown(f"**{percent(run.status.test_accuracy)}** test accuracy", width="content")


recent()

st.subheader("This machine")
here = facts()
with st.container(horizontal=True):
    st.metric("Cores", here.cores, help=here.cpu, border=True)
    st.metric("Memory", f"{here.memory / 2**30:.1f} GiB" if here.memory else "—", border=True)
    st.metric("torch", here.torch, help=f"Python {here.python} on {here.system}", border=True)
    gpu = st.container()
st.caption(here.cpu)
found = gpus()  # last, because it may load torch
gpu.metric("GPU", found[0].name if found else "none", border=True,
           help="Trains in minutes what takes a CPU hours." if not found else f"{len(found)} found by torch.")
