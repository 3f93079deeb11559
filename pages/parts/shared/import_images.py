"""The dialog that makes a data set of the user's own images."""

import re
import shutil
import tempfile
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.folder.catalogue import FOLDER_PREFIX
from core.data.isolated import import_images_isolated
from core.data.labelled.parquet_files import split_of_word
from core.errors import UserError
from core.events import Note
from pages.parts.server.login import access
from pages.parts.shared.progress import drain
from pages.parts.shared.words import plain

_LONGEST_NAME = 64
_LONGEST_FILE_NAME = 100

_Sources = list[UploadedFile] | list[Path]


@st.dialog("Import your own images", icon=":material/add_photo_alternate:")
def import_images_dialog(root: Path) -> None:
    """Draw the dialog. The Train page then chooses the new data set.

    root: the folder of the data sets.
    """
    _draw_kinds()
    sources = _draw_sources()
    stem = Path(sources[0].name).stem if sources else ""
    name = st.text_input(
        "Name",
        _suggested_name(stem),
        key=f"import_name_{stem}",
        help="The name of the data set: letters, digits, - and _.",
        max_chars=_LONGEST_NAME,
    )
    side = st.number_input(
        "Side in pixels",
        8,
        512,
        32,
        8,
        key="import_side",
        help="Each image is resized to this height and width. Its middle square is kept.",
    )
    is_ready = bool(sources) and bool(name)
    clicked = st.button("Import", type="primary", disabled=not is_ready, key="import_go")
    if clicked and sources and _import_images(sources, root, name, side):
        st.rerun()


def _draw_kinds() -> None:
    st.caption(
        "- **Zip file or folder**: put the images of each class into a folder of their own.\n"
        "- **.npz**: arrays `images` and `labels`, or named as in Keras or MedMNIST.\n"
        "- **Parquet**: as Hugging Face stores it, with all its files.\n\n"
        "A division into `train` and `test` is kept. Otherwise a fixed fifth of the images becomes"
        " the test set."
    )


def _draw_sources() -> _Sources:
    """Draw the choice of the images, and return the files or the path, if there are any."""
    kind = st.segmented_control(
        "From", ["Upload", "Path"], default="Upload", required=True, key="import_kind"
    )
    if kind == "Upload":
        return st.file_uploader(
            "A zip file, an .npz file, or Parquet files",
            type=["zip", "npz", "parquet"],
            accept_multiple_files=True,
            key="import_files",
            help="For larger files, choose Path: an upload is held in memory.",
        )
    text = st.text_input(
        "Folder or file on the machine that runs the app",
        placeholder="/home/me/pets",
        key="import_path",
    )
    return [Path(text)] if text else []


def _suggested_name(stem: str) -> str:
    """A name for the data set. That of a Parquet file says only which part of one it is."""
    if split_of_word(stem):
        return "images"
    letters = [letter if letter.isascii() and letter.isalnum() else "-" for letter in stem]
    return "".join(letters).strip("-")[:_LONGEST_NAME]


def _import_images(sources: _Sources, root: Path, name: str, side: int) -> bool:
    """Import the images and show the progress. Return whether it worked."""
    place = st.empty()
    notes: list[Note] = []
    shown_names: dict[str, str] = {}
    try:
        access().check_write()
        with tempfile.TemporaryDirectory() as folder:
            paths = [_path_of(source, Path(folder)) for source in sources]
            shown_names = dict(zip(map(str, paths), map(_shown_name, sources), strict=True))
            drain(import_images_isolated(paths, root, name, side), place, notes)
    except (UserError, OSError, ValueError) as error:
        place.empty()
        st.error(plain(_with_names(str(error), shown_names)), icon=":material/error:")
        return False
    st.session_state["imported"] = f"{FOLDER_PREFIX}{name}"
    for note in notes:
        icon = ":material/warning:" if note.level == "warning" else ":material/check:"
        text = _with_names(str(note), shown_names)
        st.toast(plain(text), icon=icon, duration="long")
    return True


def _path_of(source: UploadedFile | Path, folder: Path) -> Path:
    """The path of the images. An upload is first written into `folder`.

    Its name is kept, because that of a Parquet file says what it is for.
    """
    if isinstance(source, Path):
        return _expanded(source)
    name = re.sub(r"[^A-Za-z0-9._-]", "-", source.name)[-_LONGEST_FILE_NAME:]
    path = Path(tempfile.mkdtemp(dir=folder)) / name.lstrip(".")
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    return path


def _shown_name(source: UploadedFile | Path) -> str:
    return source.name if isinstance(source, UploadedFile) else str(source)


def _with_names(text: str, shown_names: dict[str, str]) -> str:
    """Return the text with the files' names in place of their temporary paths."""
    for path, name in shown_names.items():
        text = text.replace(path, name)
    return text


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{path} is not a folder that can be read: {error}") from error
