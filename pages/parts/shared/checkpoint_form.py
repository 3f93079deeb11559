"""The questions about a checkpoint from elsewhere: network, data set, pixels, and its tensors."""

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core import data, models
from core.accuracy import interval_text
from core.config import ImportRecipe
from core.data.normalisation import Normalisation
from core.errors import UserError
from pages.parts.shared.fields import help_text
from pages.parts.shared.progress import drain_once
from pages.parts.shared.words import percent, plain

if TYPE_CHECKING:
    from collections.abc import Generator

    from core.checkpoints.matching import Matching
    from core.checkpoints.reader import Checkpoint
    from core.checkpoints.recognition import RecognisedNetwork
    from core.events import Progress
    from core.forecast.normalisation import TriedNormalisation

_CHANNELS = ("red", "green", "blue")


def choose_network(
    checkpoint: "Checkpoint", candidates: "list[RecognisedNetwork]"
) -> "RecognisedNetwork":
    """Draw the choice among the networks that the checkpoint fits, and return the chosen one."""
    candidate = candidates[0]
    if len(candidates) > 1:
        candidate = st.selectbox(
            "Network",
            candidates,
            format_func=lambda item: item.model,
            key="net_model",
            help=(
                "The tensors fit all of these networks, the likeliest by its names first. Choose"
                " the one that was trained: the test accuracy tells a wrong choice."
            ),
        )
    else:
        st.success(
            f"This is a **{candidate.model}** for {candidate.num_classes:,} classes.",
            icon=":material/check_circle:",
        )
    notes = [plain(note) for note in checkpoint.notes]
    st.caption(" ".join([models.model_info(candidate.model).description, *notes]))
    return candidate


def choose_dataset(checkpoint: "Checkpoint", candidate: "RecognisedNetwork", root: Path) -> str:
    """Draw the choice of the data set to test the network on, and return its name.

    Raises UserError if no data set on this machine fits the network.
    """
    fitting = [choice.name for choice in data.available(root) if _fits(choice, candidate)]
    if not fitting:
        raise UserError(
            f"No data set on this machine has {candidate.num_classes:,} classes and images that "
            f"{candidate.model} takes. Prepare or import one on the Train page first."
        )
    likely = checkpoint.card.dataset if checkpoint.card else "CIFAR10"
    return st.selectbox(
        "Data set",
        fitting,
        index=fitting.index(likely) if likely in fitting else 0,
        key="net_dataset",
        help=help_text(ImportRecipe, "dataset"),
    )


def _fits(choice: data.Choice, candidate: "RecognisedNetwork") -> bool:
    """Whether the data set is on this machine, and the network takes its images and classes."""
    if choice.state == "download" or choice.info.classes != candidate.num_classes:
        return False
    try:
        models.check_side(candidate.model, choice.info.side)
    except UserError:
        return False
    return True


def choose_normalisation(
    checkpoint: "Checkpoint", candidate: "RecognisedNetwork", dataset: str, root: Path, key: str
) -> Normalisation:
    """Draw the choice of the pixels' normalisation, and return it.

    If the file does not name one, the well-known ones are tried, and the likeliest is chosen first.
    A select box fills the six number inputs below it, which can then be edited. key: identifies the
    checkpoint. Another one fills the inputs anew.
    """
    from core.forecast.normalisation import TRIAL_IMAGES, candidates  # imports torch

    card = checkpoint.card
    if card:
        labels = {}
        choices = {"As the file says": Normalisation(card.mean, card.std)}
        choices |= candidates(dataset, root)
    else:
        ranked = _ranked_normalisations(checkpoint, candidate, dataset, root, key)
        choices = {trial.name: trial.normalisation for trial in ranked}
        labels = {
            trial.name: (
                f"{trial.name}: {percent(trial.accuracy)}"
                f" ({interval_text(trial.accuracy, TRIAL_IMAGES)})"
            )
            for trial in ranked
        }
    help_text = (
        "Choose what the network was trained with. Its authors say so. A wrong choice costs"
        " accuracy, from a tenth of a point to everything."
    )
    if labels:
        help_text += (
            f" The percentages are of {TRIAL_IMAGES} training images, with their 95%"
            " intervals (Wilson), and the likeliest choice comes first. Of equally good ones it is"
            " the one that fits the network's BatchNorm."
        )
    if st.session_state.get("net_tried") != (key, dataset):
        st.session_state["net_tried"] = (key, dataset)
        st.session_state["net_usual"] = next(iter(choices))
    chosen = st.selectbox(
        "Normalisation of the pixels",
        list(choices),
        format_func=lambda name: labels.get(name, name),
        key="net_usual",
        help=help_text,
    )
    if st.session_state.get("net_filled") != (key, chosen):
        st.session_state["net_filled"] = (key, chosen)
        _fill_channels("mean", choices[chosen].mean)
        _fill_channels("std", choices[chosen].std)
    mean = _draw_channels("mean", "Mean", lowest=0.0)
    std = _draw_channels("std", "Deviation", lowest=0.0001)
    return Normalisation(mean, std)


def _ranked_normalisations(
    checkpoint: "Checkpoint", candidate: "RecognisedNetwork", dataset: str, root: Path, key: str
) -> "list[TriedNormalisation]":
    """Try the well-known normalisations once for each file, network and data set."""
    from core.checkpoints.matching import match_tensors
    from core.forecast.normalisation import rank_normalisations

    def start() -> "Generator[Progress, None, list[TriedNormalisation]]":
        matching = match_tensors(
            checkpoint.state,
            candidate.model,
            candidate.num_classes,
            candidate.by_order,
            checkpoint.name,
        )
        return rank_normalisations(matching.network(checkpoint.state), dataset, root)

    memory_key = f"{key} {candidate.model} {candidate.num_classes} {dataset}"
    return drain_once(_tried(), memory_key, start, st.empty(), most=8)


@st.cache_resource(show_spinner=False)
def _tried() -> "dict[str, list[TriedNormalisation]]":
    """The rankings of all sessions."""
    return {}


def _triple(values: tuple[float, ...]) -> tuple[float, float, float]:
    red, green, blue = values
    return red, green, blue


def _fill_channels(field: str, values: tuple[float, ...]) -> None:
    for channel, value in zip(_CHANNELS, values, strict=True):
        st.session_state[f"net_{field}_{channel}"] = float(value)


def _draw_channels(field: str, label: str, lowest: float) -> tuple[float, float, float]:
    """Draw one number input for each channel, and return the numbers."""
    values = []
    for column, channel in zip(st.columns(3), _CHANNELS, strict=True):
        value = column.number_input(
            f"{label}, {channel}",
            lowest,
            10.0,
            step=0.001,
            format="%.4f",
            key=f"net_{field}_{channel}",
            help=help_text(ImportRecipe, field),
        )
        values.append(value)
    return _triple(tuple(values))


def confirm_matching(checkpoint: "Checkpoint", candidate: "RecognisedNetwork") -> bool:
    """Draw which tensor of the file becomes which tensor of the network.

    Return True if their names agree, or if the user has confirmed the table.
    """
    from core.checkpoints.matching import match_tensors  # imports torch

    matching = match_tensors(
        checkpoint.state,
        candidate.model,
        candidate.num_classes,
        candidate.by_order,
        checkpoint.name,
    )
    if not candidate.by_order:
        with st.expander(_matching_label(matching), icon=":material/compare_arrows:"):
            _draw_matching_table(matching)
        return True
    text = (
        "The tensors have other names, so they are matched by the structure of the network: by"
        " their shapes, the numbers in their names, and their order."
    )
    st.warning(text, icon=":material/compare_arrows:")
    _draw_matching_table(matching)
    return st.toggle(
        "I have checked the matches",
        key="net_sure",
        help=(
            "Layers of equal shapes are told apart by names and order. If their authors named them"
            " in another order than they run, the accuracy is low."
        ),
    )


def _matching_label(matching: "Matching") -> str:
    """Say how many tensors match by name, and how many of the names only mean the same."""
    count = len(matching.pairs)
    if not matching.renamed:
        return f"{count} tensors, all matched by their names"
    first = matching.renamed[0]
    return (
        f"{count} tensors, all matched by their names, {len(matching.renamed)} in other words, as"
        f" {plain(first.file_name)} for {plain(first.network_name)}"
    )


def _draw_matching_table(matching: "Matching") -> None:
    rows = [
        (their_name, our_name, _shape_text(shape)) for their_name, our_name, shape in matching.pairs
    ]
    st.dataframe(
        pd.DataFrame(rows, columns=["In the file", f"In {matching.model}", "Shape"]),
        hide_index=True,
        height=min(38 * (len(rows) + 1), 300),
        alt="The tensors of the file and the network's tensors that they become",
    )


def _shape_text(shape: tuple[int, ...]) -> str:
    return " × ".join(str(length) for length in shape) or "1"
