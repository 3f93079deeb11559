"""Train: a network, a data set, what to cut; what that would do; and one button."""

import secrets

import streamlit as st

from core import models
from core.baseline import command
from core.errors import UserError
from core.runs import launch
from pages.parts import form, preview, shell
from pages.parts.states import plain

shell.guard()
store, root = shell.store(), shell.data()

if not st.session_state.get("launch"):  # of two clicks, the second finds the same token, and so the same run
    st.session_state["launch_token"] = secrets.token_hex(16)

st.title("Train")
st.markdown("Choose a network and images, see what would be cut, and start.")
with shell.telling():
    if source := st.query_params.get("from"):  # "Duplicate with changes" of a run
        form.refill(store.get(source))
        del st.query_params["from"]

choices, outcome = st.columns([5, 6], gap="large")
with choices:
    form.presets()
    form.network()
    choice = form.dataset(root)
    form.pruning()
    form.training()

with outcome:
    start, problem = st.container(), st.container()
    try:
        recipe = form.recipe()
        models.check(recipe.model, choice.info.side)
        if recipe.device not in ("auto", "cpu"):
            from core.training.device import resolve  # brings torch

            resolve(recipe.device)
    except UserError as error:
        problem.error(plain(str(error)), icon=":material/error:", title="This cannot be trained")
        start.button("Start training", type="primary", key="launch", disabled=True, width="stretch")
        st.stop()
    if start.button("Start training", icon=":material/play_arrow:", type="primary", key="launch", width="stretch",
                    help="Runs in a process of its own: you can close the browser."):
        with shell.telling():
            run = launch.start(store.create(recipe, token=st.session_state["launch_token"]), root)
            shell.open_run(run.id)
    st.subheader("Preview", anchor=False)
    ahead = st.container()
    st.subheader("The same from a terminal", anchor=False)
    st.code(command(recipe), language="bash", wrap_lines=True)
    with ahead:  # last, because it may take a while
        preview.show(recipe, choice, root)
