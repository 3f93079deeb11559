"""The chosen runs, which all views share and the address carries as ?runs=ID,ID,..."""

from collections.abc import Iterable, Mapping

import streamlit as st

from core.runs.run import Run
from pages.parts.shared.address import keep_in_address
from pages.parts.shared.words import plain

MOST_RUNS = 200
"""More runs are not compared at once."""

_KEY = "compare_runs"
_MOST_NAMED = 3  # of the ids in a warning
_MOST_CHARACTERS = 24  # of each of them


def keep_chosen_in_address(candidates: Mapping[str, Run]) -> None:
    """Take the chosen runs from the address with which the page was opened, and keep them there."""

    def parse(text: str) -> tuple[str, ...] | None:
        parts = [part.strip() for part in text.split(",") if part.strip()]
        _warn_of_address(parts, candidates)
        return tuple(part for part in dict.fromkeys(parts) if part in candidates)[:MOST_RUNS]

    keep_in_address(_KEY, (), parse, name="runs", to_text=",".join)
    _drop_missing(candidates)


def _drop_missing(candidates: Mapping[str, Run]) -> None:
    """Drop the chosen runs that can no longer be compared, and say how many these are."""
    chosen = st.session_state[_KEY]
    kept = tuple(run_id for run_id in chosen if run_id in candidates)
    dropped = len(chosen) - len(kept)
    if dropped:
        st.session_state[_KEY] = kept
        runs = "1 chosen run is" if dropped == 1 else f"{dropped} chosen runs are"
        st.caption(f"{runs} no longer compared: deleted, or stopped before the end.")


def chosen_runs(candidates: Mapping[str, Run]) -> list[Run]:
    """Return the chosen runs after `keep_chosen_in_address`, the oldest first."""
    runs = [candidates[run_id] for run_id in st.session_state[_KEY]]
    return sorted(runs, key=lambda run: run.config.created)


def choose_runs(run_ids: Iterable[str]) -> None:
    """Choose these runs, at most `MOST_RUNS` of them."""
    st.session_state[_KEY] = tuple(dict.fromkeys(run_ids))[:MOST_RUNS]


def choose_of_listed(run_ids: Iterable[str], listed: Iterable[str]) -> None:
    """Choose these of the listed runs. Chosen runs that are not listed stay chosen."""
    listed = set(listed)
    others = [run_id for run_id in st.session_state[_KEY] if run_id not in listed]
    choose_runs([*others, *run_ids])


def _warn_of_address(parts: list[str], candidates: Mapping[str, Run]) -> None:
    """Say in one sentence what of the address is not compared."""
    unique = list(dict.fromkeys(parts))
    missing = [part for part in unique if part not in candidates]
    if missing:
        st.warning(
            f"The address names {_listed(missing)}, which cannot be compared: deleted, not"
            " finished, or never a run.",
            icon=":material/search_off:",
        )
    elif len(unique) > MOST_RUNS:
        st.warning(
            f"The address names {len(unique):,} runs, of which the first {MOST_RUNS} are compared.",
            icon=":material/search_off:",
        )
    elif len(unique) < len(parts):
        st.info(
            "The address names a run more than once; it is compared once.",
            icon=":material/search_off:",
        )


def _listed(names: list[str]) -> str:
    texts = []
    for name in names[:_MOST_NAMED]:
        is_long = len(name) > _MOST_CHARACTERS
        texts.append(plain(repr(name[:_MOST_CHARACTERS] + ("…" if is_long else ""))))
    if len(names) > _MOST_NAMED:
        texts.append(f"{len(names) - _MOST_NAMED:,} more")
    return " and ".join([", ".join(texts[:-1]), texts[-1]] if len(texts) > 1 else texts)
