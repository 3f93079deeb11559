"""A new sweep: its form, what it takes, and the button that starts it."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.commands.sweep_lists import sweep_command
from core.config import BudgetRecipe
from core.errors import UserError
from core.runs.cluster.address import cluster_address
from core.runs.store import RunStore
from core.runs.sweeps import launch
from core.runs.sweeps.check import check_chains
from core.runs.sweeps.grid import Chain
from core.runs.sweeps.store import SweepStore
from pages.parts.budget.sizes import check_limit
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.start import draw_impossible_start
from pages.parts.sweep.form.fields import SweepForm, draw_sweep_form
from pages.parts.sweep.form.forecast import draw_forecast

_NEW = "new"


def draw_new_sweep(store: RunStore, root: Path) -> None:
    """Draw the form at the left, and at the right what the sweep takes."""
    form_place, outcome = st.columns([5, 6], gap="large")
    start = outcome.container()
    try:
        with form_place:
            form = draw_sweep_form(store, root)
        if form is None:
            return
        chains = form.grid.chains()
        _check(store, form, chains, root)
    except UserError as error:
        draw_impossible_start(start, "Start sweep", "start_sweep", error, "This cannot be run")
        return
    sweeps = SweepStore(store)
    with outcome:
        target = _choose_target(sweeps, form.parent)
    _draw_start(start, sweeps, form, chains, target, root)
    with outcome:
        st.subheader("What it takes", anchor=False)
        missing = [step.recipe for step in sweeps.missing(chains, form.parent)]
        draw_forecast(missing, len(chains), root)
        st.subheader("The same from a terminal", anchor=False)
        command = sweep_command(form.grid, form.parent)
        if target != _NEW:
            command += f" --add-to {target}"
        st.code(command, language="bash", wrap_lines=True)


def _check(store: RunStore, form: SweepForm, chains: Sequence[Chain], root: Path) -> None:
    """Check every recipe. Raises UserError for the first one that could not be run."""
    if not chains or not chains[0]:
        raise UserError("Choose at least one value of every list.")
    dataset = None if form.parent is None else store.get(form.parent).dataset
    check_chains(chains, root, dataset)
    if form.parent is not None:
        for chain in chains:
            if isinstance(chain[0], BudgetRecipe):
                check_limit(store.get(form.parent), chain[0])


def _choose_target(sweeps: SweepStore, parent: str | None) -> str:
    """Draw the choice between a new sweep and one to extend, if there is one. Return its id."""
    names = {_NEW: "a new sweep"}
    names |= {
        sweep.id: f"{sweep.name} · {sweep.id}"
        for sweep in sweeps.list()
        if sweep.config.parent == parent
    }
    if len(names) == 1:
        return _NEW
    return st.selectbox(
        "Add the results to",
        list(names),
        format_func=names.__getitem__,
        help="A sweep that exists gets those combinations that it does not have yet.",
    )


def _draw_start(
    place: "st.delta_generator.DeltaGenerator",
    sweeps: SweepStore,
    form: SweepForm,
    chains: Sequence[Chain],
    target: str,
    root: Path,
) -> None:
    """Draw the button. A double click makes one sweep, because its id follows from its recipes."""
    clicked = place.button(
        "Start sweep",
        icon=":material/play_arrow:",
        type="primary",
        key="start_sweep",
        width="stretch",
        **permission(None, "The sweep has its own process, so you can close the browser."),
    )
    if not clicked:
        return
    with shell.showing_errors():
        cluster_address()  # says what is wrong with it, before a sweep is made
        if target == _NEW:
            sweep = sweeps.create(chains, parent=form.parent)
        else:
            sweep = sweeps.add(target, chains, form.parent)
        launch.start(sweep, root)
        st.switch_page("pages/sweep.py", query_params={"sweep": sweep.id})
