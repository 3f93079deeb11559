"""The dialog that makes a data set of the user's own images."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path

import streamlit as st

from core import data
from core.errors import UserError
from core.events import Event, Note, Progress
from pages.parts.states import plain


@st.dialog("Import your own images", icon=":material/add_photo_alternate:")
def dialog(root: Path) -> None:
    """Ask for a folder or a zip, import it, and choose it on the page."""
    st.caption("One folder a class, with its images inside. A `train` and a `test` folder on top are kept apart; "
               "otherwise a fixed fifth of the images becomes the test set.")
    kind = st.segmented_control("From", ["Zip file", "Folder"], default="Zip file", required=True, key="import_kind")
    upload, path = None, ""
    if kind == "Folder":
        path = st.text_input("Folder on the machine that runs the app", placeholder="/home/me/pets", key="import_path")
    else:
        upload = st.file_uploader("Zip file", type="zip", key="import_zip")
    suggested = Path(upload.name if upload else path).stem
    name = st.text_input("Name", "".join(c if c.isascii() and c.isalnum() else "-" for c in suggested).strip("-")[:64],
                         key=f"import_name_{suggested}", help="Letters, digits, - and _.", max_chars=64)
    side = st.number_input("Side in pixels", 8, 512, 32, 8, key="import_side",
                           help="Each image is resized to this height and width; its middle is kept.")
    asked = st.button("Import", type="primary", disabled=not (upload or path) or not name, key="import_go")
    if asked and _done(root, upload, path, name, int(side)):
        st.rerun()


def followed(events: Iterable[Event], place) -> list[Note]:
    """Show the progress of `events` at `place`, an `st.empty`; the notes among them."""
    notes = []
    for event in events:
        if isinstance(event, Note):
            notes.append(event)
        elif isinstance(event, Progress):
            place.progress(min(1.0, event.done / event.total) if event.total else 0.0, text=_said(event))
    place.empty()
    return notes


def _said(event: Progress) -> str:
    if event.unit == "bytes" and event.total:
        return f"{event.stage}: {event.done / 1e6:,.0f} of {event.total / 1e6:,.0f} MB"
    return str(event)


def _done(root: Path, upload, path: str, name: str, side: int) -> bool:
    """Import; whether it worked."""
    place, source = st.empty(), Path(path).expanduser()
    try:
        with tempfile.TemporaryDirectory() as folder:
            if upload:
                source = Path(folder) / "upload.zip"
                with source.open("wb") as file:
                    shutil.copyfileobj(upload, file)
            notes = followed(data.import_folder(source, root, name, side), place)
    except (UserError, OSError) as error:
        text = str(error).replace(str(source), upload.name if upload else path)
        st.error(plain(text), icon=":material/error:")
        return False
    st.session_state["imported"] = f"{data.folder.PREFIX}{name}"
    for note in notes:
        st.toast(plain(str(note)), icon=":material/warning:" if note.level == "warning" else ":material/check:",
                 duration="long")
    return True
