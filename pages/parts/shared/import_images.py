"""The dialog that makes a data set of the user's own images."""

import shutil
import tempfile
from pathlib import Path

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from core.data.folder.catalogue import FOLDER_PREFIX
from core.data.isolated import import_folder_isolated
from core.errors import UserError
from core.events import Note
from pages.parts.shared.progress import drain
from pages.parts.shared.words import plain

_LONGEST_NAME = 64


@st.dialog("Import your own images", icon=":material/add_photo_alternate:")
def import_images_dialog(root: Path) -> None:
    """Draw the dialog. The Train page then chooses the new data set.

    root: the folder of the data sets.
    """
    st.caption(
        "Put the images of each class into a folder of their own. If there is a `train` and a"
        " `test` folder on top, that division is kept. Otherwise a fixed fifth of the images"
        " becomes the test set."
    )
    source = _draw_source()
    stem = Path(source.name).stem if source else ""
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
    is_ready = source is not None and bool(name)
    clicked = st.button("Import", type="primary", disabled=not is_ready, key="import_go")
    if clicked and source and _import_images(source, root, name, side):
        st.rerun()


def _draw_source() -> UploadedFile | Path | None:
    """Draw the choice of the images, and return the zip file or the folder if there is one."""
    kind = st.segmented_control(
        "From", ["Zip file", "Path"], default="Zip file", required=True, key="import_kind"
    )
    if kind == "Zip file":
        return st.file_uploader(
            "Zip file",
            type="zip",
            key="import_zip",
            help="For a larger zip file, choose Path: an upload is held in memory.",
        )
    text = st.text_input(
        "Folder or zip file on the machine that runs the app",
        placeholder="/home/me/pets",
        key="import_path",
    )
    return Path(text) if text else None


def _suggested_name(stem: str) -> str:
    letters = [letter if letter.isascii() and letter.isalnum() else "-" for letter in stem]
    return "".join(letters).strip("-")[:_LONGEST_NAME]


def _import_images(source: UploadedFile | Path, root: Path, name: str, side: int) -> bool:
    """Import the images and show the progress. Return whether it worked."""
    place = st.empty()
    notes: list[Note] = []
    path = Path(source.name)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = _path_of(source, Path(folder))
            drain(import_folder_isolated(path, root, name, side), place, notes)
    except (UserError, OSError, ValueError) as error:
        shown_name = source.name if isinstance(source, UploadedFile) else str(source)
        text = str(error).replace(str(path), shown_name)
        st.error(plain(text), icon=":material/error:")
        return False
    st.session_state["imported"] = f"{FOLDER_PREFIX}{name}"
    for note in notes:
        icon = ":material/warning:" if note.level == "warning" else ":material/check:"
        st.toast(plain(str(note)), icon=icon, duration="long")
    return True


def _path_of(source: UploadedFile | Path, folder: Path) -> Path:
    """The path of the images. An upload is first written into `folder`."""
    if isinstance(source, Path):
        return _expanded(source)
    path = folder / "upload.zip"
    with path.open("wb") as file:
        shutil.copyfileobj(source, file)
    return path


def _expanded(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise UserError(f"{path} is not a folder that can be read: {error}") from error
