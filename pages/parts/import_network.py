"""The dialog that takes over a network that was trained elsewhere."""

import secrets
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd
import streamlit as st

from core import data, models
from core.config import ImportRecipe, validated
from core.data import normalisation
from core.data.normalisation import Normalisation
from core.errors import UserError
from core.runs import launch
from core.runs.run import SOURCE
from core.runs.store import RunStore
from pages.parts import shell
from pages.parts.states import plain

if TYPE_CHECKING:
    from core.models.checkpoints import Checkpoint
    from core.models.matching import Candidate, Matching

TYPES = ["safetensors", "pt", "pth", "th"]
CHANNELS = ("red", "green", "blue")
NUMBERS = {"mean": "Mean", "std": "Deviation"}


@st.dialog("Import a network", width="large", icon=":material/upload_file:")
def dialog(store: RunStore, root: Path) -> None:
    """Ask for a checkpoint and for what it does not say itself, import it as a run, and open that."""
    if not st.session_state.get("net_go"):  # of two clicks, the second finds the same token, and so the same run
        st.session_state["net_token"] = secrets.token_hex(16)
    st.caption("The weights of a classifier, as torch.save or safetensors wrote them. Nothing in the file is run: what "
               "contains code is refused.")
    try:
        if source := _source():
            _import(store, root, *source)
    except (UserError, OSError) as error:
        st.error(plain(str(error)), icon=":material/error:")  # it may quote the file


def _source() -> tuple[str, str, bytes | Path] | None:
    """Draw the choice of the file: what tells it from others, its name, and its bytes or path."""
    kind = st.segmented_control("From", ["Upload", "Path"], default="Upload", required=True, key="net_kind",
                                help="A path is one on the machine that runs the app.")
    if kind == "Upload":
        upload = st.file_uploader("Checkpoint", type=TYPES, key="net_upload",
                                  help="A state dict, also within a training's checkpoint.")
        return (upload.file_id, upload.name, upload.getvalue()) if upload else None
    text = st.text_input("Path on the machine that runs the app", placeholder="/home/me/resnet20.th", key="net_path",
                         help="A state dict, also within a training's checkpoint.")
    if not text:
        return None
    try:
        path = Path(text).expanduser()
        return f"{path} {path.stat().st_mtime_ns}", path.name, path
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{text} is not a file that can be read.") from None


def _import(store: RunStore, root: Path, key: str, name: str, source: bytes | Path) -> None:
    """Draw what was found in the file and what it leaves open; import it when that is asked for."""
    with st.spinner("Reading …", show_time=True):
        checkpoint, candidates = _read(key, name, source)
    candidate = _network(checkpoint, candidates)
    dataset = _dataset(checkpoint, candidate, root)
    mean, std = _normalisation(checkpoint, dataset, root, key)
    sure = _matches(checkpoint, candidate)
    recipe = validated(ImportRecipe, {"file": name[-200:], "model": candidate.model, "dataset": dataset, "mean": mean,
                                      "std": std, "by_order": candidate.by_order})
    if st.button("Import and test", icon=":material/play_arrow:", type="primary", key="net_go", disabled=not sure,
                 help="Makes a run of it, with its accuracy on the test images."):
        content = source if isinstance(source, bytes) else source.read_bytes()
        run = store.create(recipe, token=st.session_state["net_token"], files={SOURCE: content})
        shell.open_run(launch.start(run, root).id)


@st.cache_resource(show_spinner=False, max_entries=2)
def _read(key: str, name: str, _source: bytes | Path) -> "tuple[Checkpoint, list[Candidate]]":
    """The file's content and the networks that it fits, of which there is one at least."""
    from core.models.matching import recognise, stranger  # brings torch
    from core.training import importing

    checkpoint, _ = importing.read(_source, name)
    candidates = recognise(checkpoint.state)
    if not candidates:
        raise UserError(stranger(checkpoint.state, name))
    return checkpoint, candidates


def _network(checkpoint: "Checkpoint", candidates: "list[Candidate]") -> "Candidate":
    """Draw which network it is."""
    if len(candidates) > 1:
        candidate = st.selectbox("Network", candidates, format_func=lambda item: item.model, key="net_model",
                                 help="The tensors fit all of these: choose the one that was trained.")
    else:
        candidate = candidates[0]
        st.success(f"This is a **{candidate.model}** for {candidate.num_classes:,} classes.",
                   icon=":material/check_circle:")
    st.caption(" ".join([models.info(candidate.model).description, *map(plain, checkpoint.notes)]))
    return candidate


def _dataset(checkpoint: "Checkpoint", candidate: "Candidate", root: Path) -> str:
    """Draw the choice among the data sets that the network can be tested on. Raises UserError if there is none."""
    fitting = [choice.name for choice in data.available(root)
               if choice.info.classes == candidate.num_classes and choice.state != "download"
               and _takes(candidate.model, choice.info.side)]
    if not fitting:
        raise UserError(f"No data set on this machine has {candidate.num_classes:,} classes and images that "
                        f"{candidate.model} takes: prepare or import one on the Train page first.")
    known = checkpoint.facts.dataset if checkpoint.facts else "CIFAR10"
    return st.selectbox("Data set", fitting, index=fitting.index(known) if known in fitting else 0, key="net_dataset",
                        help=ImportRecipe.model_fields["dataset"].description)


def _takes(model: str, side: int) -> bool:
    try:
        models.check(model, side)
    except UserError:
        return False
    return True


def _normalisation(checkpoint: "Checkpoint", dataset: str, root: Path, key: str) -> tuple[tuple, tuple]:
    """Draw how the pixels were normalised in its training: usual figures to start from, and the figures."""
    choices = {f"{dataset}, its own": normalisation.of(dataset, root), **normalisation.USUAL}
    if checkpoint.facts:
        choices = {"As the file says": Normalisation(checkpoint.facts.mean, checkpoint.facts.std), **choices}
    chosen = st.selectbox("Normalisation of the pixels", choices, key="net_usual", help=(
        "What the network was trained with; its authors say. Other figures cost accuracy, from a tenth of a point to "
        "everything."))
    state = st.session_state
    if state.get("net_filled") != (key, chosen):
        state["net_filled"] = key, chosen
        state.update({f"net_{field}_{channel}": float(value) for field in NUMBERS
                      for channel, value in zip(CHANNELS, getattr(choices[chosen], field), strict=True)})
    for field, label in NUMBERS.items():
        for column, channel in zip(st.columns(3), CHANNELS, strict=True):
            column.number_input(f"{label}, {channel}", 0.0 if field == "mean" else 0.0001, 10.0, step=0.001,
                                format="%.4f", key=f"net_{field}_{channel}",
                                help=ImportRecipe.model_fields[field].description)
    return tuple(tuple(state[f"net_{field}_{channel}"] for channel in CHANNELS) for field in NUMBERS)


def _matches(checkpoint: "Checkpoint", candidate: "Candidate") -> bool:
    """Draw which tensor is which; whether that is certain, by their names or by a person's word."""
    from core.models.matching import match

    matching = match(checkpoint.state, candidate.model, candidate.num_classes, candidate.by_order, checkpoint.name)
    if not candidate.by_order:
        with st.expander(f"{len(matching.pairs)} tensors, all by their names", icon=":material/compare_arrows:"):
            _table(matching)
        return True
    st.warning("Its tensors have other names, and are matched by their order and shapes." + ("" if checkpoint.ordered
               else " A safetensors file sorts them by name, so that their order is a guess."),
               icon=":material/compare_arrows:")
    _table(matching)
    return st.toggle("I have looked at the matches", key="net_sure", help=(
        "Tensors of one shape may be mixed up, which no shape tells. The accuracy will."))


def _table(matching: "Matching") -> None:
    rows = [(theirs, ours, " × ".join(map(str, shape)) or "1") for theirs, ours, shape in matching.pairs]
    st.dataframe(pd.DataFrame(rows, columns=["In the file", f"In {matching.model}", "Shape"]), hide_index=True,
                 height=min(38 * (len(rows) + 1), 300), alt="Which tensor of the file is which of the network's")
