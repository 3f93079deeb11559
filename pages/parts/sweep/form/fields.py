"""The form of a sweep: lists for the settings of a training, and for the compression after it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import streamlit as st

from core import data
from core.compress.pruning.methods import PRUNING_METHODS
from core.config import TrainRecipe
from core.runs.store import RunStore
from core.runs.sweeps.grid import Grid
from pages.parts.shared.address import address_selectbox
from pages.parts.shared.fields import help_text, number_field
from pages.parts.shared.model_choice import choose_model
from pages.parts.sweep.form.base import base_settings, draw_base
from pages.parts.sweep.form.compression import COMPRESSIONS, draw_compression
from pages.parts.sweep.form.lists import choose_networks, choose_several, list_numbers, parse_share

_DENSITIES = ["100%", "50%", "20%", "10%", "5%", "2%", "1%", "0.5%"]
_SCOPES = {"global": False, "layerwise": True}
_START = {"train": "Train", "quantize": "Compress a trained network"}
_MOST_SEEDS = 10


@dataclass(frozen=True)
class SweepForm:
    """What a person entered. parent: id of the network to compress, None to train."""

    grid: Grid
    parent: str | None


def draw_sweep_form(store: RunStore, root: Path) -> SweepForm | None:
    """Draw the form. Returns None if there is no network to compress yet.

    Raises UserError for a value that is not a number.
    """
    start = address_selectbox(
        "What to try", "start", list(_START), what="start", format_func=_START.__getitem__
    )
    if start == "train":
        lists = _draw_training_lists(root)
        lists_after = draw_compression("compress", COMPRESSIONS)
        return SweepForm(Grid(lists, **lists_after), None)
    parent = choose_model("Model", "parent", store)
    if parent is None:
        return None
    choices = {name: words for name, words in COMPRESSIONS.items() if name != "none"}
    return SweepForm(Grid(None, **draw_compression("compress_by", choices)), parent.id)


def _draw_training_lists(root: Path) -> dict[str, list[Any]]:
    base = base_settings()
    draw_base(base)
    datasets = [choice.name for choice in data.available(root)]
    lists: dict[str, list[Any]] = {name: [value] for name, value in base.items()}
    lists["model"] = choose_networks(help_text(TrainRecipe, "model"))
    lists["dataset"] = choose_several(
        "Data sets", "datasets", datasets, ["Digits"], help_text(TrainRecipe, "dataset")
    )
    lists["prune.method"] = choose_several(
        "Pruning methods", "methods", list(PRUNING_METHODS), ["snip", "random"], _methods_help()
    )
    lists["prune.density"] = list_numbers(
        "Densities",
        "densities",
        _DENSITIES,
        ["100%", "10%", "5%"],
        parse_share,
        "Fractions of the weights that are kept. Type others as 3% or 0.03. 100% is dense, whatever"
        " the method.",
    )
    with st.expander("Scope, learning rate, epochs and images", icon=":material/tune:"):
        scopes = choose_several(
            "Scopes",
            "scopes",
            list(_SCOPES),
            ["global"],
            "global: the weights of all layers compete. layerwise: each layer keeps the same"
            " fraction.",
        )
        lists["prune.layerwise"] = [_SCOPES[scope] for scope in scopes]
        lists["lr"] = list_numbers(
            "Learning rates",
            "lrs",
            ["0.1", "0.05", "0.01"],
            ["0.05"],
            float,
            help_text(TrainRecipe, "lr"),
        )
        number_field(
            st.container(), TrainRecipe, "epochs", key="sweep_epochs", label="Epochs", value=10
        )
        images = list_numbers(
            "Training images",
            "images",
            ["1000", "5000", "10000"],
            [],
            int,
            f"{help_text(TrainRecipe, 'train_images')} Leave it empty for all.",
        )
    lists["epochs"] = [st.session_state["sweep_epochs"]]
    lists["train_images"] = images or [None]
    first_seed = base.get("seed", 0)
    lists["seed"] = list(range(first_seed, first_seed + _draw_seeds()))
    lists.setdefault("keep_every", [0])  # the weights of every epoch would fill the disk
    return lists


def _draw_seeds() -> int:
    number_field(
        st.container(),
        TrainRecipe,
        "seed",
        key="seeds",
        label="Seeds",
        value=2,
        min_value=1,
        max_value=_MOST_SEEDS,
        help="How often each combination is trained, each time with other initial weights. The"
        " spread of the seeds says which differences are chance.",
    )
    return int(st.session_state["seeds"])


def _methods_help() -> str:
    return "\n".join(f"- {name}: {facts.description}" for name, facts in PRUNING_METHODS.items())
