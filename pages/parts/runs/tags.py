"""The tags of one run, and the menu that gives tags to several runs or takes them away."""

from collections.abc import Sequence

import streamlit as st

from core.errors import UserError
from core.runs.comparison.compared import unique_names
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.tags import MOST_TAGS, all_tags
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.words import plain

_ERROR = "tags_error"


def draw_tags(store: RunStore, run: Run) -> None:
    """Draw the tags of a run, which can be changed right there."""
    key = f"tags-{run.id}"
    # What is on file counts, also after another tab has changed it or a word could not be a tag.
    st.session_state[key] = list(run.tags)
    st.multiselect(
        "Tags",
        all_tags([run.tags, *(other.tags for other in store.list())]),
        key=key,
        accept_new_options=True,
        max_selections=MOST_TAGS,
        placeholder="Add tags",
        label_visibility="collapsed",
        width=420,
        on_change=_save_tags,
        args=(store, run, key),
        **permission(run),
    )
    error = st.session_state.pop(_ERROR, None)
    if error:
        st.error(plain(error), icon=":material/error:")


def _save_tags(store: RunStore, run: Run, key: str) -> None:
    """Make the changes that a person made to the tags of `run`, as it was drawn."""
    wanted = st.session_state[key]
    added = [tag for tag in wanted if tag not in run.tags]
    wanted_spellings = {tag.casefold() for tag in wanted}
    removed = [tag for tag in run.tags if tag.casefold() not in wanted_spellings]
    try:
        store.change_tags(run.id, added, removed)
    except UserError as error:
        st.session_state[_ERROR] = str(error)


def draw_tag_menu(store: RunStore, runs: Sequence[Run]) -> None:
    """Draw the menu that changes the tags of several runs at once."""
    menu = st.popover(
        "Tag",
        icon=":material/label:",
        key="tag_menu",
        on_change="rerun",
        **permission(None, "Give tags to several runs, or take them away."),
    )
    if menu.open:
        with menu:
            _draw_form(store, runs)


def _draw_form(store: RunStore, runs: Sequence[Run]) -> None:
    names = unique_names([run for run in runs if store.access.may_change(run)])
    with st.form("tag_runs", border=False, clear_on_submit=True):
        chosen = st.multiselect(
            "Runs",
            list(names),
            key="tagged_runs",
            format_func=lambda run_id: names.get(run_id, run_id),
            placeholder="Choose runs",
        )
        tags = st.multiselect(
            "Tags",
            all_tags(run.tags for run in runs),
            key="new_tags",
            accept_new_options=True,
            max_selections=MOST_TAGS,
            placeholder="Choose tags, or type new ones",
        )
        with st.container(horizontal=True):
            is_adding = st.form_submit_button("Add", icon=":material/new_label:", key="add_tags")
            is_removing = st.form_submit_button(
                "Remove", icon=":material/label_off:", key="remove_tags"
            )
    if (is_adding or is_removing) and chosen and tags:
        with shell.showing_errors():
            for run_id in chosen:
                store.change_tags(run_id, tags if is_adding else (), () if is_adding else tags)
            st.rerun()
