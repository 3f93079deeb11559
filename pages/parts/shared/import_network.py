"""The dialog that imports a network that was trained elsewhere."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.config import ImportRecipe, validate_recipe
from core.errors import UserError
from core.events import result_of
from core.files import content_of
from core.models import own_networks
from core.runs.run import IMPORT_SOURCE, Run
from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared.checkpoint_form import (
    choose_dataset,
    choose_network,
    choose_normalisation,
    confirm_matching,
)
from pages.parts.shared.named_network import draw_named_network
from pages.parts.shared.shell import data_folder, draw_error
from pages.parts.shared.start import draw_start_button

if TYPE_CHECKING:
    from core.checkpoints.reader import Checkpoint
    from core.checkpoints.recognition import RecognisedNetwork

_FILE_TYPES = ["safetensors", "secateur", "pt", "pth", "th"]
_LONGEST_FILE_NAME = 200


@dataclass(frozen=True)
class _Source:
    """A checkpoint to import.

    key: identifies the file in a cache. name: its file name. content: its bytes or its path.
    """

    key: str
    name: str
    content: bytes | Path


def draw_import_network_button(store: RunStore) -> None:
    """Draw the button that opens the dialog."""
    clicked = st.button(
        "Import a network …",
        icon=":material/upload_file:",
        key="import_network",
        width="content",
        **permission(
            None, "Import a checkpoint from elsewhere: .safetensors, .secateur, .pt, .pth or .th."
        ),
    )
    if clicked:
        import_network_dialog(store, data_folder())


@st.dialog("Import a network", width="large", icon=":material/upload_file:")
def import_network_dialog(store: RunStore, root: Path) -> None:
    """Ask for a checkpoint and for what it does not contain, import it as a run, and open the run.

    root: the folder of the data sets.
    """
    st.caption(
        "Choose the weights of a classifier, as torch.save, safetensors or Secateur wrote them. No"
        " code in the file is run. A file that contains code is refused."
    )
    try:
        source = _choose_source()
        if source:
            _draw_import(store, root, source)
    except (UserError, OSError) as error:
        draw_error(error)


def _choose_source() -> _Source | None:
    """Draw the choice of the file. Raises UserError for a path that cannot be read."""
    kind = st.segmented_control(
        "From",
        ["Upload", "Path"],
        default="Upload",
        required=True,
        key="net_kind",
        help="A path is a path on the machine that runs the app.",
    )
    file_help = (
        "The file must contain a state dict. It can be inside a training's checkpoint. For a larger"
        " file, choose Path: an upload is held in memory."
    )
    if kind == "Upload":
        upload = st.file_uploader("Checkpoint", type=_FILE_TYPES, key="net_upload", help=file_help)
        return _Source(upload.file_id, upload.name, upload.getvalue()) if upload else None
    text = st.text_input(
        "Path on the machine that runs the app",
        placeholder="/home/me/resnet20.th",
        key="net_path",
        help=file_help,
    )
    return _source_at(text) if text else None


def _source_at(text: str) -> _Source:
    try:
        path = Path(text).expanduser()
        written = path.stat().st_mtime_ns
    except (OSError, RuntimeError, ValueError):
        raise UserError(f"{text} is not a file that can be read.") from None
    return _Source(f"{path} {written}", path.name, path)


def _draw_import(store: RunStore, root: Path, source: _Source) -> None:
    """Draw the questions about the file, and the button that imports it."""
    versions = " ".join(file.name for file in own_networks().files)
    checkpoint, candidates = _read_candidates(f"{source.key} {versions}", source)
    if not candidates or candidates[0].by_order:
        named = draw_named_network(checkpoint)
        candidates = candidates if named is None else [named]
    if not candidates:
        from core.checkpoints.recognition import describe_unrecognised  # imports torch

        raise UserError(describe_unrecognised(checkpoint.state, checkpoint.name))
    candidate = choose_network(checkpoint, candidates)
    dataset = choose_dataset(checkpoint, candidate, root)
    normalisation = choose_normalisation(checkpoint, candidate, dataset, root, source.key)
    is_confirmed = confirm_matching(checkpoint, candidate)
    values = {
        "file": source.name[-_LONGEST_FILE_NAME:],
        "model": candidate.model,
        "dataset": dataset,
        "mean": normalisation.mean,
        "std": normalisation.std,
        "by_order": candidate.by_order,
    }
    recipe = validate_recipe(ImportRecipe, values)

    def create(token: str) -> Run:
        file = source.content
        content = content_of(file) if isinstance(file, Path) else file
        return store.create(recipe, token=token, files={IMPORT_SOURCE: content})

    draw_start_button(
        st.container(),
        "Import and test",
        "net_go",
        create,
        root,
        help_text="Imports the network as a run, and measures its accuracy on the test images.",
        disabled=not is_confirmed,
        stretched=False,
    )


@st.cache_resource(show_spinner="Reading the file …", show_time=True, max_entries=2)
def _read_candidates(key: str, _source: _Source) -> "tuple[Checkpoint, list[RecognisedNetwork]]":
    """Read the file, and find the networks that it fits, possibly none."""
    from core.checkpoints.isolated import read_isolated  # imports torch
    from core.checkpoints.recognition import recognise

    checkpoint = result_of(read_isolated(_source.content, _source.name))
    return checkpoint, recognise(checkpoint.state)
