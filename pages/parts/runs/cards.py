"""The runs as cards, which a narrow screen shows instead of the table."""

import streamlit as st

from core.runs.comparison.figures import bytes_on_disk, kept_share
from core.runs.run import Run
from core.runs.store import describe_recipe
from pages.parts.runs.owners import owner_name
from pages.parts.shared.run_line import draw_run_line
from pages.parts.shared.words import kept, plain, size

_CARDS_A_PAGE = 20
_KINDS = {"train": "training", "import": "import"}

TABLE_KEY = "runs_table"
"""The key of the container of the table."""

_CARDS_KEY = "runs_cards"

# The browser chooses, because the server does not know the width of its window.
_TABLE_OR_CARDS = f"""
<style>
@media (max-width: 640px) {{ .st-key-{TABLE_KEY} {{ display: none; }} }}
@media (min-width: 640.02px) {{ .st-key-{_CARDS_KEY} {{ display: none; }} }}
</style>
"""


def draw_cards(runs: list[Run]) -> None:
    """Draw a card for each run, twenty on a page, and hide them where the table fits."""
    st.html(_TABLE_OR_CARDS)
    with st.container(key=_CARDS_KEY):
        pages = max(1, -(-len(runs) // _CARDS_A_PAGE))
        place = st.container()
        page = 1
        if pages > 1:
            page = st.pagination(pages, key="page_of_cards")
        with place:
            for run in runs[_CARDS_A_PAGE * (page - 1) : _CARDS_A_PAGE * page]:
                _draw_card(run)


def _draw_card(run: Run) -> None:
    with st.container(border=True, key=f"card-{run.id}"):
        draw_run_line(run)
        facts = [f"{run.model} on {plain(run.dataset)}", kept(kept_share(run)), made_by(run)]
        number = bytes_on_disk(run)
        if number is not None:
            facts.append(size(number))
        if run.owner:
            facts.append(f":material/person: {plain(owner_name(run))}")
        if run.tags:
            facts.append(f":material/label: {plain(', '.join(run.tags))}")
        st.caption(" · ".join([*facts, run.id]))


def made_by(run: Run) -> str:
    """How the run's network was made, such as "training" or "5 clusters, tuned"."""
    return _KINDS.get(run.recipe.kind) or describe_recipe(run.recipe)
