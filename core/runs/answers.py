"""Finds, makes and reads the runs that keep the answers of other runs' networks."""

from collections.abc import Sequence

from core.config import AnswersRecipe
from core.data.imageset import Dataset
from core.errors import UserError
from core.hashes import content_hash
from core.inspect.behaviour.answers import Answers, answers_key, load_answers
from core.inspect.behaviour.changes import check_same_classes
from core.models.saved import read_card
from core.runs.comparison.compared import unique_names
from core.runs.run import ANSWERS, MODEL, Run
from core.runs.store import RunStore, run_id_of


def find_answers_run(store: RunStore, parent: Run) -> Run | None:
    """Return the run that tests the parent's network as it is now; None if there is none yet.

    Raises UserError if the parent's model is gone, or if that run cannot be read.
    """
    run_id = run_id_of(_token(parent))
    return store.get(run_id) if (store.root / run_id).exists() else None


def request_answers(store: RunStore, parent: Run, test_set_hash: str | None) -> Run:
    """Return the run that tests the parent's network, and make it if need be.

    test_set_hash: of `hash_test_set`, None if the test set is not here yet. A finished run whose
    answers are damaged, or belong to another test set, goes into the trash and is made again.
    Raises UserError as `RunStore.create` does.
    """
    run = _create(store, parent)
    if run.state != "finished" or test_set_hash is None:
        return run
    if read_answers(run, parent, test_set_hash) is not None:
        return run
    store.delete(run.id)
    return _create(store, parent)


def read_answers(run: Run, parent: Run, test_set_hash: str) -> Answers | None:
    """Return the answers of the parent's network that the run keeps.

    None if it is not finished, if the file is damaged, or if the parent's model or the test set
    was changed since.
    """
    if run.state != "finished":
        return None
    return load_answers(run.path / ANSWERS, expected_key(parent, test_set_hash))


def expected_key(parent: Run, test_set_hash: str) -> str:
    """Return the key of answers of the parent's network as it is now, for this test set."""
    return answers_key(_model_hash(parent), parent.dataset, test_set_hash)


def check_comparable(runs: Sequence[Run]) -> None:
    """Raise UserError unless the networks have the same data set and the same classes."""
    names = unique_names(runs)
    first, *others = runs
    for other in others:
        if other.dataset != first.dataset:
            raise UserError(
                f"{names[first.id]} is tested on {first.dataset} and {names[other.id]} on"
                f" {other.dataset}, so there are no images that both answer: choose models of the"
                " same data set."
            )
    check_same_classes({names[run.id]: read_card(run.path / MODEL).classes for run in runs})


def check_classes(runs: Sequence[Run], dataset: Dataset) -> None:
    """Raise UserError unless the data set has the networks' classes, which are all the same."""
    if read_card(runs[0].path / MODEL).classes != dataset.classes:
        raise UserError(
            f"The data set {dataset.name} has other classes than those that these models were"
            " trained on: import the data set that they were trained on."
        )


def _create(store: RunStore, parent: Run) -> Run:
    return store.create(
        AnswersRecipe(), f"Answers of {parent.name}", parent=parent.id, token=_token(parent)
    )


def _token(parent: Run) -> str:
    """Return the token of the run, so that each model file is tested once."""
    return f"answers {parent.id} {_model_hash(parent)}"


def _model_hash(run: Run) -> str:
    try:
        return content_hash(run.path / MODEL)
    except OSError as error:
        raise UserError(f"The model of “{run.name}” is gone ({error.strerror}).") from error
