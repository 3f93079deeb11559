"""The model that is to be quantized: chosen among the runs that have one, or imported."""

from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.runs.run import MODEL, PACKED, Run
from core.runs.store import RunStore
from pages.parts import import_network, model_choice
from pages.parts.states import kept, plain, size

if TYPE_CHECKING:
    from core.inspect.plan import Item
    from core.models.saved import SavedModel


def choose(store: RunStore, root: Path) -> Run | None:
    """Draw the choice, which the address carries as ?run=ID; None if there is no model yet."""
    with st.container(horizontal=True, vertical_alignment="bottom", key="models"):
        with st.container():
            run = model_choice.choose("Model", "run", store)
        if st.button("Import a network …", icon=":material/upload_file:", key="import_network", width="content",
                     help="A checkpoint from elsewhere: .safetensors, .pt, .pth or .th."):
            import_network.dialog(store, root)
    if run is not None:
        st.caption(f"{run.model} on {plain(run.dataset)}, {kept(run.density)}, "
                   f"{size((run.path / MODEL).stat().st_size)} in float.{_already(run)}")
    return run


def _already(run: Run) -> str:
    """What rounding means for a model whose weights are shared."""
    if not (run.path / PACKED).exists():
        return ""
    return " It is quantized already: rounding to bits then rounds the shared values, and keeps who shares them."


def shapes(run: Run) -> dict[str, list[int]]:
    """The shape of every tensor, read from the file's header. Raises UserError for a damaged file."""
    return _shapes(str(run.path / MODEL), (run.path / MODEL).stat().st_mtime)


def load(run: Run) -> "tuple[SavedModel, dict[str, Item]]":
    """The model, and what its packed file holds if it has one."""
    return _load(str(run.path), (run.path / MODEL).stat().st_mtime)


def memory(run: Run) -> dict:
    """What was found out about the run's layers, kept while the server runs."""
    return _memory(str(run.path), (run.path / MODEL).stat().st_mtime)


@st.cache_data(show_spinner=False, max_entries=16)
def _shapes(path: str, written: float) -> dict[str, list[int]]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            return {name: file.get_slice(name).get_shape() for name in file.keys()}  # noqa: SIM118 - it is no dict
    except SafetensorError as error:
        raise UserError(f"{path} is damaged ({error}); choose another model.") from error


@st.cache_resource(show_spinner=False, max_entries=2)
def _load(path: str, written: float) -> "tuple[SavedModel, dict[str, Item]]":
    from core.compress import codec
    from core.models import saved

    packed = Path(path) / PACKED
    return saved.read(Path(path) / MODEL), codec.load(packed).tensors if packed.exists() else {}


@st.cache_resource(show_spinner=False, max_entries=4)
def _memory(path: str, written: float) -> dict:
    return {}
