"""Whose activations the page shows: those of finished models, of a training's epochs, or of a network that is cut."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core import data
from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.models import MODELS, info, saved
from core.models.saved import Facts
from core.runs import epochs
from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from pages.parts import model_choice
from pages.parts.importing import followed
from pages.parts.states import LOOKS, kept

if TYPE_CHECKING:
    from torch import nn

    from core.training.fresh import Fresh

TICK = 1.5  # seconds between two looks for a new epoch
DENSITIES = [0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.07, 0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0]
QUICK = 10e9  # multiply-adds of a scoring batch that need no button


@dataclass(frozen=True, eq=False)
class Subject:
    """A network at certain weights: a name for people, a key that other weights never have, and how to get it."""

    name: str
    key: str
    facts: Facts
    network: "Callable[[], nn.Module]"


@dataclass(frozen=True, eq=False)
class Source:
    """Where the subjects come from. `subjects()` draws what chooses among them, every `tick` seconds if not None."""

    dataset: str
    subjects: Callable[[], list[Subject]]
    tick: float | None = None


def models(store: RunStore, root: Path) -> Source | None:
    """One to three finished models; at first a compressed one beside what it was made from."""
    runs = model_choice.models(store)
    newest = next(iter(runs.values()), None)
    parent = runs.get(newest.config.parent) if newest and newest.config.parent else None
    first = model_choice.choose("A", "a", store, default=parent.id if parent else None)
    if first is None:
        return None
    chosen = [first]
    if len(runs) > 1:
        chosen.append(model_choice.choose("B, beside it", "b", store, nothing="nothing",
                                          default=newest.id if parent else None,
                                          help="Another model on the same picture; it is compared with A."))
    if len(runs) > 2 and chosen[1]:
        chosen.append(model_choice.choose("C, beside both", "c", store, nothing="nothing",
                                          help="A third model; it is compared with A, too."))
    return Source(first.dataset, lambda: [_of_file(run.name, run.path / MODEL) for run in chosen if run])


def training(store: RunStore, root: Path) -> Source | None:
    """The epochs of one training: the newest as it comes, or any that was kept."""
    runs = {run.id: run for run in store.list() if run.recipe.kind == "train" and (run.active or epochs.kept(run.path))}
    if not runs:
        st.info("No training has kept its epochs yet: start one, and watch it here.", icon=":material/eco:")
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
        return None
    if st.session_state.get("training") not in runs:
        asked = st.query_params.get("training")
        st.session_state["training"] = asked if asked in runs else next(iter(runs))
    chosen = st.selectbox("Training", runs, key="training", help="Those that run now or have kept epochs.",
                          format_func=lambda id: f"{LOOKS[runs[id].state].mark} {runs[id].name} · {id}")
    st.query_params["training"] = chosen
    run = runs[chosen]
    return Source(run.dataset, lambda: _epoch(store, run), TICK if run.active else None)


def _epoch(store: RunStore, then: Run) -> list[Subject]:
    """The epoch that is looked at: what follows the training, or the slider."""
    run = store.get(then.id)
    if run.active != then.active:
        st.rerun()  # which ends the ticking
    files = {epoch: epochs.file(run.path, epoch) for epoch in epochs.kept(run.path)}
    if not files:
        st.info(_why_none(run), icon=":material/hourglass_empty:")
        return []
    if run.has_model:
        files[run.status.epoch] = run.path / MODEL
    *_, newest = files
    with st.container(horizontal=True, vertical_alignment="center", key="epochs"):
        follow = run.active and st.toggle("Follow", True, key="follow", help="Show each epoch as soon as it is over.")
        if follow or st.session_state.get("epoch") not in files:
            st.session_state["epoch"] = newest
        if len(files) > 1:
            st.select_slider(f"Epoch of {run.recipe.epochs}", list(files), key="epoch", disabled=follow,
                             help="The ends of epochs whose weights were kept.")
        else:
            st.markdown(f"Epoch {newest} of {run.recipe.epochs}")
    epoch = newest if len(files) == 1 else st.session_state["epoch"]
    return [_of_file(f"{run.name}, epoch {epoch}", files[epoch])]


def _why_none(run: Run) -> str:
    if run.recipe.keep_every and not run.status.epoch:
        return "The first epoch is not over yet: it appears here as soon as it is."
    return (f"This training keeps no epochs: that is switched off, or one alone is larger than its "
            f"{run.recipe.keep_mb:,} MB.")


def density(store: RunStore, root: Path) -> Source | None:
    """A network before any training, scored once by SNIP, and cut to the density of a slider."""
    choices = {choice.name: choice for choice in data.available(root) if choice.state in ("ready", "bundled")}
    left, right = st.columns(2)
    network = left.selectbox("Network", MODELS, index=list(MODELS).index("LeNet5"), key="fresh", bind="query-params",
                             help="At its initial weights, of seed 0.")
    dataset = right.selectbox("Data set", choices, key="fresh_data", bind="query-params",
                              help="SNIP scores the weights on its first training batch.")
    recipe = TrainRecipe(model=network, dataset=dataset, prune=Prune(), device="cpu")
    memory, key = _memory(), f"{network} {dataset} {root}"
    if not (fresh := memory.get(key)):
        light = info(network).macs * recipe.batch_size < QUICK
        if not light and not st.button("Score its weights", icon=":material/content_cut:", type="primary", key="score"):
            return None
        fresh = _scored(recipe, root)
        memory.clear()
        memory[key] = fresh
    return Source(dataset, lambda: _cut(key, fresh))


@st.cache_resource(show_spinner=False)
def _memory() -> "dict[str, Fresh]":
    """The last scored network, for all sessions; st.cache_resource itself has no way to show progress."""
    return {}


def _scored(recipe: TrainRecipe, root: Path) -> "Fresh":
    from core.training import fresh  # brings torch

    results = []

    def scoring():
        results.append((yield from fresh.scored(recipe, data.load(recipe.dataset, root))))

    followed(scoring(), st.empty())
    return results[0]


def _cut(key: str, fresh: "Fresh") -> list[Subject]:
    """The network as it is, and at the density of the slider."""
    density = st.select_slider("Density: the share of weights that is kept", DENSITIES, 0.1, key="at",
                               format_func=lambda step: f"{100 * step:.3g}%",
                               help="SNIP's choice, all layers competing. BatchNorm is as it begins: it does nothing.")
    return [Subject(f"{fresh.saved.facts.model}, {kept(at)}", f"{key} {at}", fresh.saved.facts,
                    lambda at=at: fresh.network(at)) for at in dict.fromkeys((1.0, density))]


def _of_file(name: str, path: Path) -> Subject:
    """The network in a file. Raises UserError if that is gone or damaged."""
    facts = saved.read_facts(path)
    with _still_there(path):
        stamp = path.stat().st_mtime_ns
    return Subject(name, f"{path} {stamp}", facts, lambda: _network(path, stamp))


@st.cache_resource(max_entries=4, show_spinner=False)
def _network(path: Path, stamp: int) -> "nn.Module":
    with _still_there(path):
        return saved.read(path).network()


@contextlib.contextmanager
def _still_there(path: Path) -> Iterator[None]:
    """A training may thin its epochs out between two looks at one."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is gone: choose another one.") from error
