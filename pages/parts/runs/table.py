"""The page of all runs: the table, and the trash below it."""

from dataclasses import dataclass
from typing import Self

import pandas as pd
import streamlit as st

from core.runs.lock_probe import explain_untrusted_locks
from core.runs.run import Run
from core.runs.space.disk_use import DiskUse, disk_use
from core.runs.store import RunStore
from pages.parts.runs.cards import TABLE_KEY, draw_cards
from pages.parts.runs.owners import draw_owner_filter, runs_of
from pages.parts.runs.rows import rows_of
from pages.parts.runs.storage.clean_up import draw_disk_use
from pages.parts.runs.storage.import_run import draw_import_run_button, draw_imported
from pages.parts.runs.tags import draw_tag_menu
from pages.parts.runs.trash import draw_trash, draw_undo
from pages.parts.shared.accuracies import INTERVAL_HELP
from pages.parts.shared.import_network import draw_import_network_button
from pages.parts.shared.states import STATE_STYLES
from pages.parts.shared.tag_filter import draw_tag_filter, tagged_runs
from pages.parts.shared.words import plain

_PERCENT = "%.2f%%"

# In the order of what matters, because a small window shows the first columns only.
_COLUMNS = {
    "name": st.column_config.TextColumn("Name", width=160),
    "test": st.column_config.NumberColumn(
        "Test accuracy",
        format=_PERCENT,
        help=f"Share of the test images that the network gets right. {INTERVAL_HELP}",
    ),
    "status": st.column_config.MultiselectColumn(
        "Status",
        options=[f"{style.sign} {state}" for state, style in STATE_STYLES.items()],
        color=[style.color for style in STATE_STYLES.values()],
        width=125,
    ),
    "kind": st.column_config.TextColumn(
        "Made by", help="Training, import, or the way it was quantized."
    ),
    "tags": st.column_config.ListColumn("Tags"),
    "owner": st.column_config.TextColumn("Owner", help="Who started it."),
    "model": st.column_config.TextColumn("Network"),
    "dataset": st.column_config.TextColumn("Data set"),
    "density": st.column_config.NumberColumn(
        "Density", format="percent", help="Fraction of the prunable weights that is kept."
    ),
    "epoch": st.column_config.TextColumn("Epoch"),
    "best": st.column_config.NumberColumn(
        "Best",
        format=_PERCENT,
        help=(
            "Test accuracy of the best epoch. Images that were held back choose the epoch, if there"
            f" are any. Otherwise the test images do, which is optimistic. {INTERVAL_HELP}"
        ),
    ),
    "curve": st.column_config.LineChartColumn("By epoch", width=80, y_min=0, y_max=1),
    "size": st.column_config.NumberColumn(
        "Model file", format="%.1f kB", help="The packed file, or else the weights in float."
    ),
    "disk": st.column_config.NumberColumn(
        "On disk", format="%.1f kB", help="All files of the run, also those that can be deleted."
    ),
    "created": st.column_config.DatetimeColumn("Created", format="D MMM YYYY, HH:mm"),
}


def draw_runs(store: RunStore) -> None:
    """Draw the page of all runs. A click on a row opens its run."""
    st.title("Runs")
    draw_undo(store)
    draw_imported()
    all_runs, damaged_ids = store.scan()
    runs = [run for run in all_runs if _is_listed(run)]
    if runs:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.caption("Click a run to open it.", width="stretch")
            _draw_link_to_comparison(runs)
            draw_tag_menu(store, [run for run in runs if not run.is_helper])
            draw_import_network_button(store)
            draw_import_run_button(store)
        with st.container(horizontal=True, vertical_alignment="bottom", key="runs_filters"):
            tags = draw_tag_filter("runs_tags", runs)
            only_mine = draw_owner_filter(store.access)
        use = disk_use(all_runs)
        _draw_live_table(store, runs, use, tags, only_mine)
        draw_disk_use(store, len(all_runs), use)
    else:
        _draw_no_runs(store)
    untrusted = explain_untrusted_locks(store.root)
    if untrusted:
        st.warning(plain(untrusted), icon=":material/lock_open:")
    if damaged_ids:
        st.warning(
            f"These folders in {plain(str(store.root))} contain runs that cannot be read:"
            f" {', '.join(damaged_ids)}. Repair their config.json, or remove them.",
            icon=":material/broken_image:",
        )
    draw_trash(store)


def _is_listed(run: Run) -> bool:
    """Whether the list shows the run. One that only measured its parent is no news once it ends."""
    return not run.is_helper or run.active or run.state in ("failed", "interrupted")


def _draw_link_to_comparison(runs: list[Run]) -> None:
    """Link to the comparison, which needs two finished runs."""
    if sum(run.state == "finished" for run in runs) < 2:
        return
    st.page_link(
        "pages/compare.py",
        label="Compare",
        icon=":material/compare_arrows:",
        width="content",
        help="Put several runs side by side: accuracy against size, curves, settings and layers.",
    )


def _draw_no_runs(store: RunStore) -> None:
    st.info(
        "There are no runs yet. Train a network, or take the quick tour.", icon=":material/eco:"
    )
    with st.container(horizontal=True):
        st.page_link("pages/tour.py", label="Quick tour", icon=":material/tour:")
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")
        draw_import_network_button(store)
        draw_import_run_button(store)


def _draw_live_table(
    store: RunStore, runs: list[Run], use: DiskUse, tags: list[str], only_mine: bool
) -> None:
    """Draw the table every two seconds while something is at work, else every ten.

    The slower pace is for runs that are started elsewhere. runs, use: what the first drawing shows.
    tags: those that the runs must have. only_mine: whether to leave out the runs of other people.
    """
    around = _Around.of(runs, use)
    just_read = [(runs, use)]

    @st.fragment(run_every=2 if around.is_busy else 10, key="table")
    def draw_live_table() -> None:
        is_first = bool(just_read)
        runs, use = just_read.pop() if is_first else _read(store)
        if st.query_params.get("run") or not (is_first or _Around.of(runs, use) == around):
            st.rerun()
        listed = tagged_runs(runs_of(store.access, runs, only_mine), tags)
        with st.container(key=TABLE_KEY):
            _draw_table(listed, use)
        draw_cards(listed)

    draw_live_table()


@dataclass(frozen=True)
class _Around:
    """What the rest of the page says, or follows, and is not drawn with the table."""

    runs: int
    is_active: bool
    is_measured: bool

    @classmethod
    def of(cls, runs: list[Run], use: DiskUse) -> Self:
        """Return it for the runs of the table."""
        return cls(len(runs), any(run.active for run in runs), use.is_complete)

    @property
    def is_busy(self) -> bool:
        return self.is_active or not self.is_measured


def _read(store: RunStore) -> tuple[list[Run], DiskUse]:
    all_runs = store.list(helpers=True)
    return [run for run in all_runs if _is_listed(run)], disk_use(all_runs)


def _draw_table(runs: list[Run], use: DiskUse) -> None:
    st.session_state["shown"] = [run.id for run in runs]
    columns = dict(_COLUMNS)
    if not any(run.tags for run in runs):
        del columns["tags"]
    if not any(run.owner for run in runs):
        del columns["owner"]
    st.dataframe(
        pd.DataFrame(rows_of(runs, use), columns=list(columns)),
        hide_index=True,
        key="runs",
        column_config=columns,
        on_select=_open_selected_run,
        selection_mode=["single-row", "single-cell"],
        placeholder="—",
        alt="All runs with their state, settings and accuracies",
    )


def _open_selected_run() -> None:
    """Open the run in the selected row, of the rows that the browser showed at the click."""
    selection = st.session_state["runs"]["selection"]
    rows = selection["rows"] or [row for row, _ in selection["cells"]]
    if rows:
        st.query_params["run"] = st.session_state["shown"][rows[0]]
