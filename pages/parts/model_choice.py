"""One of the models that runs have left: chosen from a list, or by the address."""

from collections.abc import Callable, Sequence

import streamlit as st

from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.states import percent, plain

_NOTHING = "none"  # in the address


def models(store: RunStore, fits: Callable[[Run], bool] = lambda run: True) -> dict[str, Run]:
    """The finished runs that have a model, by id, the newest first."""
    return {run.id: run for run in store.list() if run.has_model and fits(run)}


def nothing_yet() -> None:
    """Say that there is no model, and where one comes from."""
    st.info("There is no model to look at yet. The quick tour trains one within a minute.", icon=":material/eco:")
    with st.container(horizontal=True):
        st.page_link("pages/home.py", label="Quick tour", icon=":material/potted_plant:")
        st.page_link("pages/train.py", label="Train", icon=":material/content_cut:")


def choose(label: str, key: str, store: RunStore, *, fits: Callable[[Run], bool] = lambda run: True,
           among: dict[str, Run] | None = None, default: str | None = None, nothing: str = "",
           help: str = "Everything that was trained, imported or quantized here, the newest first.") -> Run | None:
    """Draw the choice of a model, which the address carries as ?key=ID, and say which one it is.

    fits: which runs may be chosen; or `among`, if `models` was called before. default: the id of the first choice,
        else the newest, else `nothing`.
    nothing: the words of a first choice that means none (?key=none). Without them, and without any model, this draws
        `nothing_yet` and is None.
    Pages that use the same key share the choice.
    """
    runs = models(store, fits) if among is None else among
    if not runs and not nothing:
        nothing_yet()
        return None
    labels = {id: describe(run) for id, run in runs.items()}
    twice = {text for text in labels.values() if list(labels.values()).count(text) > 1}
    return runs.get(mirrored(label, key, [*([_NOTHING] if nothing else []), *runs], default, help=help, what="model",
                             format_func=lambda id: nothing if id not in labels else
                             f"{labels[id]} · {id}" if labels[id] in twice else labels[id]))


def describe(run: Run) -> str:
    """A model in a line: name, network and data, test accuracy."""
    subject = run.name if run.model in run.name else f"{run.name} · {run.model} · {run.dataset}"
    return f"{subject} · {percent(run.status.test_accuracy)}"


def mirrored(label: str, key: str, options: Sequence[str], default: str | None = None, *, what: str,
             address: str | None = None, **more) -> str:
    """A select box whose value the address carries as ?address=VALUE, which is `key` if it is not given.

    An address that changes wins over what was chosen before. One that names no option says so, as a `what`.
    """
    address = address or key
    from_address(key, address, options, default, what)
    chosen = st.selectbox(label, options, key=key, persist_state="session", **more)
    to_address(key, address, chosen)
    return chosen


def from_address(key: str, address: str, options: Sequence[str], default: str | None, what: str) -> None:
    """Put into the widget to come what the address asks for if that is news, else what was chosen, else the default."""
    st.session_state[key] = _start(key, address, options, default, what)


def to_address(key: str, address: str, chosen: str) -> None:
    """Put what the widget has into the address."""
    if st.query_params.get(address) != chosen:
        st.query_params[address] = chosen
    st.session_state[f"{key}_in_address"] = chosen


def _start(key: str, address: str, options: Sequence[str], default: str | None, what: str) -> str:
    asked, chosen = st.query_params.get(address), st.session_state.get(key)
    if asked and asked != st.session_state.get(f"{key}_in_address"):
        if asked in options:
            return asked
        st.warning(f"There is no {what} {plain(repr(asked))} to show here: it is gone, or it does not fit.",
                   icon=":material/search_off:")
    if chosen in options:
        return chosen
    return default if default in options else options[0]
