"""The dialog that imports a run from its zip."""

import tempfile
from pathlib import Path

import streamlit as st

from core.errors import UserError
from core.runs.archive.importing import ImportedRun, import_run
from core.runs.store import RunStore
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.progress import drain
from pages.parts.shared.words import plain

_IMPORTED = "imported_run"


def draw_import_run_button(store: RunStore) -> None:
    """Draw the button that opens the dialog."""
    clicked = st.button(
        "Import a run …",
        icon=":material/folder_zip:",
        key="import_run",
        width="content",
        **permission(
            None, "Open a run that was downloaded as one zip, here or on another machine."
        ),
    )
    if clicked:
        import_run_dialog(store)


@st.dialog("Import a run", icon=":material/folder_zip:")
def import_run_dialog(store: RunStore) -> None:
    """Ask for the zip of a run, check and import it, and return to the page, which says so."""
    st.caption(
        "Choose a zip that **Download as one zip** made. It is checked first, and no code in it is"
        " run. The run keeps its settings, its curves and its parent."
    )
    kind = st.segmented_control(
        "From",
        ["Upload", "Path"],
        default="Upload",
        required=True,
        key="zip_kind",
        help="A path is a path on the machine that runs the app.",
    )
    try:
        result = _draw_upload(store) if kind == "Upload" else _draw_path(store)
    except (UserError, OSError) as error:
        shell.draw_error(error)
        return
    if result is not None:
        st.session_state[_IMPORTED] = result
        st.rerun()


def _draw_upload(store: RunStore) -> ImportedRun | None:
    upload = st.file_uploader(
        "Zip of a run",
        type=["zip"],
        key="zip_upload",
        help="For a larger file, choose Path: an upload is held in memory.",
    )
    if not _draw_go(upload is not None) or upload is None:
        return None
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder) / "run.zip"
        path.write_bytes(upload.getbuffer())
        return _import(store, path, upload.name)


def _draw_path(store: RunStore) -> ImportedRun | None:
    text = st.text_input(
        "Path on the machine that runs the app", placeholder="/home/me/run.zip", key="zip_path"
    )
    if not _draw_go(bool(text)):
        return None
    try:
        path = Path(text).expanduser()
    except RuntimeError:
        raise UserError(f"{text} is not a file that can be read.") from None
    return _import(store, path, path.name)


def _draw_go(is_possible: bool) -> bool:
    return st.button(
        "Import the run",
        icon=":material/download_done:",
        type="primary",
        key="zip_go",
        disabled=not is_possible,
    )


def _import(store: RunStore, path: Path, name: str) -> ImportedRun:
    place = st.empty()
    place.progress(0.0, text="Checking the zip …")
    try:
        return drain(import_run(store, path, name), place)
    finally:
        place.empty()


def draw_imported() -> None:
    """Right after an import: say what was imported, and link to it."""
    result: ImportedRun | None = st.session_state.pop(_IMPORTED, None)
    if result is None:
        return
    run = result.run
    with st.container(horizontal=True, vertical_alignment="center", key="imported"):
        st.markdown(f":material/folder_zip: {imported_text(result)}", width="content")
        st.page_link(
            "pages/runs.py",
            label="Open it",
            icon=":material/arrow_forward:",
            query_params={"run": run.id},
            width="content",
        )


def imported_text(result: ImportedRun) -> str:
    """Say what an import did, as Markdown."""
    first = f"“{plain(result.run.name)}” is imported." if result.is_new else ""
    return " ".join(filter(None, [first, *map(plain, result.notes)]))
