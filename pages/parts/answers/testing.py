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
from pages.parts.server.permission import permission
from pages.parts.shared import shell
from pages.parts.shared.live_runs import draw_live_runs, draw_run_boxes
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
    if any(test.active for test in tests):
        draw_live_runs(tests, lambda: _tests(store, missing), "tests")
    else:
        _draw_button(store, missing, dataset, root)
        draw_run_boxes(tests)


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


def _tests(store: RunStore, runs: Sequence[Run]) -> list[Run]:
    """Return the tests of these runs that exist."""
    tests = [find_answers_run(store, run) for run in runs]
    return [test for test in tests if test is not None]


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
        **permission(
            None,
            "Each test has its own process, so you can close the browser. A test that was stopped"
            " continues where it was.",
        ),
    )
    if clicked:
        with shell.showing_errors():
            test_hash = None if dataset is None else cached_test_set_hash(dataset)
            for run in missing:
                launch.resume(request_answers(store, run, test_hash), root)
            st.rerun()
