"""The table of all runs, and the trash below it."""

import contextlib
from datetime import datetime

import pandas as pd
import streamlit as st

from core.runs.run import MODEL, PACKED, Run
from core.runs.store import RunStore, describe
from pages.parts import import_network, shell
from pages.parts.states import LOOKS, plain

COLUMNS = {
    "status": st.column_config.MultiselectColumn(
        "Status", options=[f"{look.mark} {state}" for state, look in LOOKS.items()],
        color=[look.color for look in LOOKS.values()], width=125),
    "name": st.column_config.TextColumn("Name", width="medium"),
    "kind": st.column_config.TextColumn("Made by", help="Training, import, or how it was quantized."),
    "model": st.column_config.TextColumn("Network"),
    "dataset": st.column_config.TextColumn("Data"),
    "density": st.column_config.NumberColumn("Density", format="percent", help="Share of the prunable weights kept."),
    "epoch": st.column_config.TextColumn("Epoch"),
    "test": st.column_config.NumberColumn("Test accuracy", format="percent"),
    "best": st.column_config.NumberColumn("Best", format="percent", help="The best test accuracy of any epoch."),
    "curve": st.column_config.LineChartColumn("Accuracy by epoch", y_min=0, y_max=1),
    "size": st.column_config.NumberColumn("On disk", format="bytes", help="The packed file, or else the weights."),
    "created": st.column_config.DatetimeColumn("Created", format="D MMM YYYY, HH:mm"),
}


def show(store: RunStore) -> None:
    """Draw the table; choosing a row opens its run."""
    st.title("Runs")
    _deleted(store)
    runs, damaged = store.scan()
    if not runs:
        st.info("There are no runs yet: train a network, or take the quick tour.", icon=":material/eco:")
        with st.container(horizontal=True):
            st.page_link("pages/home.py", label="Quick tour", icon=":material/potted_plant:")
            st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
            _import(store)
    else:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Choose a row to open its run.", width="stretch")
            _import(store)
        _live(store, any(run.active for run in runs))
    if damaged:
        st.warning(f"These folders in {plain(str(store.root))} hold runs that cannot be read: {', '.join(damaged)}. "
                   "Mend their config.json, or remove them.", icon=":material/broken_image:")
    _trash(store)


def _import(store: RunStore) -> None:
    if st.button("Import a network …", icon=":material/upload_file:", key="import_network", width="content",
                 help="A checkpoint from elsewhere: .safetensors, .pt, .pth or .th."):
        import_network.dialog(store, shell.data())


def _live(store: RunStore, active: bool) -> None:
    """The table, drawn again every two seconds while something runs, and now and then for what others start."""
    @st.fragment(run_every=2 if active else 10, key="table")
    def table() -> None:
        runs = store.list()
        if st.query_params.get("run") or any(run.active for run in runs) != active:
            st.rerun()
        st.session_state["shown"] = [run.id for run in runs]
        st.dataframe(pd.DataFrame([_row(run) for run in runs], columns=list(COLUMNS)), hide_index=True, key="runs",
                     column_config=COLUMNS, on_select=_choose, selection_mode=["single-row", "single-cell"],
                     placeholder="—", alt="All runs with their state, settings and accuracies")

    table()


def _choose() -> None:
    """The rows as they were shown when one was chosen: by now there may be another one on top."""
    chosen = st.session_state["runs"]["selection"]
    if rows := chosen["rows"] or [row for row, _ in chosen["cells"]]:
        st.query_params["run"] = st.session_state["shown"][rows[0]]


def _row(run: Run) -> dict:
    status = run.status
    kind = {"train": "training", "import": "import"}.get(run.recipe.kind) or describe(run.recipe)
    return {"status": [f"{LOOKS[run.state].mark} {run.state}"], "name": run.name, "kind": kind, "model": run.model,
            "dataset": run.dataset, "density": status.summary.get("density", run.density),
            "epoch": f"{status.epoch} / {run.recipe.epochs}" if run.recipe.epochs else None,
            "test": status.test_accuracy, "best": status.best_accuracy, "curve": status.accuracies or None,
            "size": _bytes(run), "created": datetime.fromtimestamp(run.config.created)}


def _bytes(run: Run) -> int | None:
    for name in (PACKED, MODEL):
        with contextlib.suppress(OSError):
            return (run.path / name).stat().st_size
    return None


def _deleted(store: RunStore) -> None:
    """Right after a deletion: say so, and offer to take it back."""
    id, name = st.session_state.get("deleted", ("", ""))
    if id not in [run.id for run in store.trash()]:
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        st.markdown(f":material/delete: “{plain(name)}” is in the trash.", width="content")
        if st.button("Undo", icon=":material/undo:", key="undo"):
            del st.session_state["deleted"]
            with shell.telling():
                store.restore(id)
                st.rerun()


def _trash(store: RunStore) -> None:
    if not (runs := store.trash()):
        return
    with st.expander(f"Trash ({len(runs)})", icon=":material/delete:", key="trash"):
        for run in runs:
            with st.container(horizontal=True, vertical_alignment="center"):
                if st.button("Restore", icon=":material/restore_from_trash:", key=f"restore-{run.id}"):
                    st.session_state.pop("deleted", None)
                    with shell.telling():
                        store.restore(run.id)
                        st.rerun()
                st.markdown(plain(run.name), width="stretch")
        with st.popover("Empty the trash", icon=":material/delete_forever:"):
            st.markdown("This cannot be undone.")
            if st.button(f"Delete {len(runs)} for good", type="primary", key="empty"):
                st.session_state.pop("deleted", None)
                store.empty_trash()
                st.rerun()
