"""The step that writes files in other formats, checks each in a fresh process, and hands it out."""

import tempfile
from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from core.commands.run_files import exported_file
from core.deploy.files.formats import EXPORT_FORMATS, ExportFormat, FormatName
from core.deploy.files.verification import Verification
from core.deploy.openvino_engine import MISSING_OPENVINO, has_openvino
from core.errors import UserError
from core.runs.int8 import newest_int8
from core.runs.run import INT8, Run
from core.runs.store import RunStore
from pages.parts.shared import shell
from pages.parts.shared.accuracies import accuracy_text
from pages.parts.shared.address import keep_in_address, parse_flag
from pages.parts.shared.cache import FileKey, file_key, model_key
from pages.parts.shared.report_download import draw_report_download
from pages.parts.shared.words import plain, size

_TITLES: dict[FormatName, str] = {
    "onnx": "ONNX, float",
    "onnx-int8": "ONNX, 8-bit integers",
    "openvino": "OpenVINO, float",
    "openvino-int8": "OpenVINO, 8-bit integers",
    "packed": "Packed file",
    "safetensors": "Weights",
    "masks": "Masks",
    "metrics": "Figures of the epochs",
    "card": "Model card",
}


@dataclass(frozen=True)
class _Wanted:
    """A file to make. with_normalisation: whether it takes pixels and gives probabilities."""

    name: FormatName
    with_normalisation: bool


@dataclass(frozen=True)
class _Checked:
    """A file that a fresh process has checked. content: its bytes. note: on its dead channels."""

    content: bytes
    verification: Verification
    note: str


def draw_files(store: RunStore, run: Run, root: Path) -> None:
    """Draw a box for each format. root: the folder of the data sets."""
    st.markdown(
        "A fresh process loads each file again. It tests networks on all test images, and looks"
        " whether pruned weights are zero. Then you can download the file."
    )
    takes_pixels = _draw_normalisation_switch()
    columns = st.columns(2)
    for place, (name, title) in enumerate(_TITLES.items()):
        with columns[place % 2], st.container(border=True, key=f"format-{name}"):
            st.markdown(f"**{title}** · `{EXPORT_FORMATS[name].suffix}`")
            st.caption(EXPORT_FORMATS[name].description)
            with shell.showing_errors():
                wanted = _Wanted(name, takes_pixels and EXPORT_FORMATS[name].is_graph)
                _draw_format(store, run, wanted, root)
    with st.container(border=True, key="format-report"):
        st.markdown("**Report** · `.html`")
        draw_report_download([run], key="export_report")


def _draw_normalisation_switch() -> bool:
    """Draw whether the files that say how to compute take pixels; return it."""
    keep_in_address("pixels", False, parse_flag)
    return st.toggle(
        "Normalisation inside",
        key="pixels",
        persist_state="session",
        help=(
            "The ONNX and OpenVINO files then take pixels (uint8, N x 3 x side x side) and give"
            " probabilities. Otherwise they take normalised images and give logits."
        ),
    )


def _draw_format(store: RunStore, run: Run, wanted: _Wanted, root: Path) -> None:
    name = wanted.name
    if EXPORT_FORMATS[name].engine == "OpenVINO" and not has_openvino():
        st.caption(f"{MISSING_OPENVINO}.")
        return
    source = _source(store, run, name)
    if source is None:
        st.caption("Make it first, under **Integers**.")
        return
    files = _checked_files(run)
    key = (wanted, source.id, source.name, _file_key(source))
    if key not in files:
        clicked = st.button(
            "Make and check", icon=":material/fact_check:", key=f"make-{name}", width="stretch"
        )
        if not clicked:
            return
        with st.spinner("Writing and checking …", show_time=True):
            files[key] = _make_and_check(store, source, wanted, root)
        st.rerun()
    _draw_checked(run, source, wanted, files[key])


def _checked_files(run: Run) -> dict[Hashable, _Checked]:
    """Return the files of this run that were checked in this session. Others are forgotten."""
    exports: dict[str, dict[Hashable, _Checked]] = st.session_state.setdefault("exports", {})
    files = exports.get(run.id, {})
    exports.clear()
    exports[run.id] = files
    return files


def _file_key(source: Run) -> FileKey:
    return file_key(source.path / INT8) if source.recipe.kind == "int8" else model_key(source)


def _source(store: RunStore, run: Run, name: FormatName) -> Run | None:
    """Return the run whose file it is: the newest in integers for that format. None if missing."""
    return newest_int8(store, run) if EXPORT_FORMATS[name].in_integers else run


def _make_and_check(store: RunStore, run: Run, wanted: _Wanted, root: Path) -> _Checked:
    """Raises UserError for a file that cannot be made, and for one that is wrong."""
    exported = exported_file(store, run, wanted.name, wanted.with_normalisation)
    with tempfile.TemporaryDirectory(prefix="export-") as folder:
        path = Path(folder) / f"network{EXPORT_FORMATS[wanted.name].suffix}"
        try:
            path.write_bytes(exported.content)
        except OSError as error:
            raise UserError(f"The file cannot be written: {error.strerror or error}.") from error
        verification = exported.verify(path, root)
    return _Checked(exported.content, verification, exported.note)


def _draw_checked(run: Run, source: Run, wanted: _Wanted, checked: _Checked) -> None:
    facts: ExportFormat = EXPORT_FORMATS[wanted.name]
    st.success(_verdict(source, checked.verification), icon=":material/verified:")
    if checked.note:
        st.caption(plain(checked.note))
    parts = [run.model, run.dataset, f"{run.density:g}", source.id, wanted.name]
    stem = "-".join([*parts, "pixels"] if wanted.with_normalisation else parts)
    st.download_button(
        f"Download ({size(len(checked.content))})",
        checked.content,
        stem.replace("/", "-") + facts.suffix,
        icon=":material/download:",
        type="primary",
        key=f"download-{wanted.name}",
        on_click="ignore",
        width="stretch",
    )


def _verdict(source: Run, verification: Verification) -> str:
    if verification.accuracy is None:
        return plain(str(verification))
    accuracy = accuracy_text(source, verification.accuracy, bold=True)
    engine = EXPORT_FORMATS[verification.format_name].engine
    by = f" by {engine}" if engine else ""
    text = f"Loaded again: {accuracy} of {verification.images:,} test images right{by}."
    if verification.zeros:
        found = "zero or gone" if verification.removed else "zero"
        text += f" All {verification.zeros:,} pruned weights are {found}."
    return text
