"""The tests of networks whose answers are missing: the button that starts them, and progress."""

from collections.abc import Sequence
from pathlib import Path

import streamlit as st

from core.data.imageset import Dataset
from core.runs import launch
from core.runs.answers import find_answers_run, request_answers
from core.runs.run import Run
from core.runs.store import RunStore
from pages.parts.answers.comparison import answers_of, cached_test_set_hash
from pages.parts.shared import shell
from pages.parts.shared.states import draw_state
from pages.parts.shared.words import plain


def draw_tests(store: RunStore, runs: Sequence[Run], dataset: Dataset | None, root: Path) -> None:
    """Draw what is known of the tests, and the button that starts those that are missing.

    dataset: None if it is not here yet. root: the folder of the data sets.
    """
    missing = [run for run in runs if not _is_tested(store, run, dataset)]
    if not missing:
        _draw_without_images(runs[0].dataset, dataset)
        return
    tests = _tests(store, missing)
    active = {run_id for run_id, test in tests.items() if test.active}
    if active:
        _draw_live(store, missing, active)
    else:
        _draw_button(store, missing, dataset, root)
        _draw_lines(missing, tests)


def _draw_without_images(name: str, dataset: Dataset | None) -> None:
    """Say that the tested images are not here, unless the last test ended just now."""
    if dataset is not None:
        st.rerun()
    st.info(
        f"{plain(name)} is not on this machine, so there are no images to compare the answers for."
        " A training or its preview fetches it.",
        icon=":material/download:",
    )


def _is_tested(store: RunStore, run: Run, dataset: Dataset | None) -> bool:
    if dataset is not None:
        return answers_of(store, run, cached_test_set_hash(dataset)) is not None
    test = find_answers_run(store, run)
    return test is not None and test.state == "finished"


def _tests(store: RunStore, runs: Sequence[Run]) -> dict[str, Run]:
    """Return the tests that exist, by the id of the tested run."""
    tests = {run.id: find_answers_run(store, run) for run in runs}
    return {run_id: test for run_id, test in tests.items() if test is not None}


def _draw_button(
    store: RunStore, missing: Sequence[Run], dataset: Dataset | None, root: Path
) -> None:
    names = " and ".join(f"“{plain(run.name)}”" for run in missing)
    images = "the whole test set" if dataset is None else f"all {len(dataset.test):,} test images"
    st.markdown(
        f"The answers of {names} are not known yet. A test on {images} of"
        f" {plain(missing[0].dataset)} computes them, once for each network."
    )
    clicked = st.button(
        "Test these networks",
        icon=":material/play_arrow:",
        type="primary",
        key="test_networks",
        help=(
            "Each test has its own process, so you can close the browser. A test that was stopped"
            " continues where it was."
        ),
    )
    if clicked:
        with shell.showing_errors():
            test_hash = None if dataset is None else cached_test_set_hash(dataset)
            for run in missing:
                launch.resume(request_answers(store, run, test_hash), root)
            st.rerun()


def _draw_live(store: RunStore, missing: Sequence[Run], active_before: set[str]) -> None:
    """Draw the progress once a second. When a test ends, the whole page is drawn again.

    active_before: ids of the runs whose tests were active when the page was drawn.
    """

    @st.fragment(run_every=1, key="answers_tests")
    def draw() -> None:
        with shell.showing_errors():
            tests = _tests(store, missing)
            active = {key for key, test in tests.items() if test.active}
            if active != active_before:
                st.rerun()
            _draw_lines(missing, tests)
            if st.button("Stop", icon=":material/stop_circle:", key="stop_tests"):
                for run_id in active:
                    launch.cancel(tests[run_id])

    draw()


def _draw_lines(missing: Sequence[Run], tests: dict[str, Run]) -> None:
    for run in missing:
        if run.id in tests:
            _draw_line(run, tests[run.id])


def _draw_line(run: Run, test: Run) -> None:
    with st.container(border=True, key=f"test-{run.id}"):
        with st.container(horizontal=True, vertical_alignment="center"):
            draw_state(test)
            st.page_link(
                "pages/runs.py",
                label=plain(run.name),
                query_params={"run": test.id},
                width="stretch",
            )
        if test.active:
            _draw_progress(test)
        elif test.status.message:
            st.markdown(plain(test.status.message))


def _draw_progress(test: Run) -> None:
    status = test.status
    text = status.stage or "Starting"
    if status.total:
        text += f" · {status.done:,} of {status.total:,} {status.unit}"
    share = status.done / status.total if status.total else 0.0
    st.progress(min(1.0, share), text=text)
