"""What a run's status takes from its events."""

from core.config import AffineRecipe
from core.events import Finished
from core.runs.record import Record
from tests.sample_runs import sample_run


def test_a_run_without_epochs_has_its_accuracies_from_its_end(store):
    parent = sample_run(store)
    run = store.create(AffineRecipe(), parent=parent.id)
    Record(run).take(Finished({"test_accuracy": 0.5, "best_accuracy": 0.75}))
    status = store.get(run.id).status
    assert (status.test_accuracy, status.best_accuracy) == (0.5, 0.75)
    assert status.summary == {"test_accuracy": 0.5, "best_accuracy": 0.75}
