"""The filter of runs by their tags, which the address carries as ?tags=NAME,NAME."""

from collections.abc import Sequence

import streamlit as st

from core.runs.run import Run
from core.runs.tags import all_tags, has_tags
from pages.parts.shared.address import choose, keep_in_address
from pages.parts.shared.words import plain


def draw_tag_filter(key: str, runs: Sequence[Run]) -> list[str]:
    """Draw the choice of tags, and return the chosen ones. Without any tags, draw nothing.

    key: of the widget. runs: those whose tags can be chosen.
    """
    tags = all_tags(run.tags for run in runs)
    _keep_tags_in_address(key, tags)
    if not tags:
        return []
    return st.multiselect(
        "Tags",
        tags,
        key=key,
        placeholder="any",
        width=240,
        persist_state="session",
        help="Runs that have all of these tags.",
    )


def tagged_runs(runs: Sequence[Run], tags: Sequence[str]) -> list[Run]:
    """Return the runs that have all of these tags, in the same order."""
    return [run for run in runs if has_tags(run.tags, tags)] if tags else list(runs)


def _keep_tags_in_address(key: str, tags: Sequence[str]) -> None:
    spellings = {tag.casefold(): tag for tag in tags}

    def parse(text: str) -> list[str]:
        words = [word.strip() for word in text.split(",") if word.strip()]
        unknown = [word for word in words if word.casefold() not in spellings]
        if unknown:
            st.warning(
                f"No run here has the tag {plain(repr(unknown[0]))}.", icon=":material/search_off:"
            )
        known = (spellings.get(word.casefold()) for word in words)
        return list(dict.fromkeys(word for word in known if word is not None))

    keep_in_address(key, [], parse, name="tags", to_text=",".join)
    folded = [tag.casefold() for tag in st.session_state[key]]
    chosen = [spellings[tag] for tag in folded if tag in spellings]
    # Said in every run, because the browser forgets the choice while it shows a single run.
    choose(key, chosen)
