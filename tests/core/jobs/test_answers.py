"""Testing a network as a job: its answers, resume, cancel, and files that change meanwhile."""

import dataclasses

import numpy as np
import pytest
import torch
from filelock import FileLock
from safetensors.numpy import load

from core import data, models
from core.config import AnswersRecipe, KMeansRecipe, TrainRecipe
from core.data.imageset import ImageSet
from core.errors import CheckpointError, UserError
from core.events import Finished, Note, Progress, result_of
from core.hashes import write_with_hash
from core.inspect.behaviour import answers as answers_module
from core.inspect.behaviour.answers import hash_test_set
from core.jobs.answers import AnswersJob
from core.jobs.check import check_recipe
from core.models import saved
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs import launch, trash, worker
from core.runs.answers import find_answers_run, read_answers, request_answers
from core.runs.integrity import check_runs
from core.runs.run import ANSWERS, MODEL, write_status
from core.runs.store import describe_recipe
from tests.sample_runs import sample_run

MEAN, STD = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)  # not those of Digits: a network brings its own
RECIPE = AnswersRecipe(device="cpu")
IMAGES = 360


@pytest.fixture(autouse=True)
def _small_batches(monkeypatch):
    monkeypatch.setattr(answers_module, "_BATCH", 100)


def card(classes=tuple("0123456789")):
    return ModelCard(model="LeNet5", dataset="Digits", classes=classes, mean=MEAN, std=STD, side=32)


def state(seed=0):
    torch.manual_seed(seed)
    return models.build("LeNet5", 10).state_dict()


def job_on(digits, checkpoint=None, model_hash="0", **changes):
    parent = SavedModel(card(**changes), state())
    return AnswersJob(RECIPE, parent, model_hash, digits, checkpoint)


def logits_in(job):
    return load(job.files()[ANSWERS])["logits"]


@torch.no_grad()
def by_hand(digits, seed=0):
    """The logits in one batch."""
    model = models.build("LeNet5", 10).eval()
    model.load_state_dict(state(seed))
    mean = np.array(MEAN, np.float32)[:, None, None]
    std = np.array(STD, np.float32)[:, None, None]
    pixels = np.asarray(data.load("Digits", digits).test.images, np.float32) / 255
    return model(torch.from_numpy((pixels - mean) / std)).numpy()


def kept_logits(store, run_id, parent, labels):
    answers = read_answers(store.get(run_id), parent, labels)
    assert answers is not None
    return answers.logits


@pytest.fixture
def labels(digits):
    return data.load("Digits", digits).test.labels


@pytest.fixture
def test_hash(digits):
    return hash_test_set(data.load("Digits", digits))


@pytest.fixture
def parent(store):
    """A finished run with the weights of seed 0."""
    run = sample_run(store, recipe=TrainRecipe(model="LeNet5", dataset="Digits", epochs=4))
    write_with_hash(run.path / MODEL, saved.model_bytes(state(), card()))
    return run


def test_the_answers_are_the_networks_own(digits, labels):
    job = job_on(digits)
    events = list(job.events())
    logits = by_hand(digits)
    assert job._answers.logits == pytest.approx(logits, abs=1e-5)
    summary = events[-1].summary
    assert isinstance(events[-1], Finished)
    assert summary.test_accuracy == (logits.argmax(1) == labels).mean()
    assert summary.parent_accuracy == summary.test_accuracy
    assert summary.test_loss == pytest.approx(
        torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.tensor(labels)).item()
    )
    assert (summary.test_images, summary.classes, summary.epochs) == (IMAGES, 10, 0)
    assert (summary.kept, summary.packed_bytes) == (61_770, None)


def test_progress_counts_images(digits):
    events = list(job_on(digits).events())
    testing = [event for event in events if isinstance(event, Progress) and event.unit == "images"]
    assert [event.done for event in testing] == [100, 200, 300, 360]
    assert {event.total for event in testing} == {IMAGES}


def test_there_is_no_result_before_the_end(digits):
    job = job_on(digits)
    for event in job.events():
        if isinstance(event, Progress):
            assert job.files() == {}
        assert job.result() == {}
    assert list(job.files()) == [ANSWERS]


@pytest.mark.parametrize("batches", [1, 2, 3, 4])
def test_a_resumed_test_is_the_same_bit_for_bit(digits, batches):
    whole = job_on(digits)
    list(whole.events())
    stopped = job_on(digits)
    assert stopped.checkpoint() is None
    events = stopped.events()
    done = 0
    while done < batches:
        event = next(events)
        done += isinstance(event, Progress) and event.unit == "images"
    resumed = job_on(digits, stopped.checkpoint())
    notes = [event.text for event in resumed.events() if isinstance(event, Note)]
    assert f"Continued after {min(100 * batches, IMAGES)} images." in notes
    assert logits_in(resumed).tobytes() == logits_in(whole).tobytes()


def test_a_checkpoint_of_another_model_file_is_not_used(digits):
    stopped = job_on(digits)
    events = stopped.events()
    while not stopped.checkpoint():
        next(events)
    checkpoint = stopped.checkpoint() | {"logits": torch.zeros(100, 10)}
    resumed = job_on(digits, checkpoint, model_hash="1")
    warnings = [event.text for event in resumed.events() if isinstance(event, Note)]
    assert "begins anew" in warnings[0]
    assert resumed._answers.logits == pytest.approx(by_hand(digits), abs=1e-5)


def test_a_damaged_checkpoint(digits):
    with pytest.raises(CheckpointError):
        list(job_on(digits, {"history": []}).events())


def test_other_classes_are_refused(digits):
    with pytest.raises(UserError, match="other classes"):
        list(job_on(digits, classes=tuple("abcdefghij")).events())


# -- as a run --


def test_it_becomes_a_run_without_a_model(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    check_recipe(run.recipe, digits, dataset=run.dataset)
    assert describe_recipe(run.recipe) == "answers"
    assert (run.name, run.config.parent) == (f"Answers of {parent.name}", parent.id)
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "finished"
    assert not run.has_model
    assert kept_logits(store, run.id, parent, test_hash) == pytest.approx(by_hand(digits), abs=1e-5)
    checked = result_of(check_runs([run]))
    assert [(file.path.name, file.state) for file in checked] == [(ANSWERS, "intact")]


def test_it_needs_a_parent_and_is_none(store, parent, test_hash):
    with pytest.raises(UserError, match=r"needs a parent: the run whose network is tested\.$"):
        store.create(RECIPE)
    run = request_answers(store, parent, test_hash)
    with pytest.raises(UserError, match="no result to start from"):
        store.create(KMeansRecipe(), parent=run.id)


def test_lists_of_models_leave_it_out(store, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    assert [listed.id for listed in store.list()] == [parent.id]
    assert {listed.id for listed in store.list(helpers=True)} == {parent.id, run.id}
    store.delete(run.id)
    assert store.trash() == []


def test_the_test_is_deleted_and_restored_with_its_network(store, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    store.delete(parent.id)
    assert store.list(helpers=True) == []
    assert [deleted.id for deleted in store.trash()] == [parent.id]
    store.restore(parent.id)
    assert find_answers_run(store, store.get(parent.id)) == store.get(run.id)
    assert not (store.root / ".trash" / run.id).exists()


def test_a_test_that_was_active_when_its_network_was_deleted_is_tidied_later(
    store, parent, test_hash, monkeypatch
):
    monkeypatch.setattr(trash, "_tidied", {})
    run = request_answers(store, parent, test_hash)
    with FileLock(run.path / "lock"):
        write_status(run.path, run.status.model_copy(update={"state": "running"}))
        store.delete(parent.id)
    assert [left.id for left in store.list(helpers=True)] == [run.id]
    store.tidy()
    assert store.list(helpers=True) == []


def test_each_model_file_is_tested_once(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    assert request_answers(store, parent, test_hash).id == run.id
    list(worker.work(run, digits))
    assert request_answers(store, parent, test_hash).id == run.id
    assert find_answers_run(store, parent) == store.get(run.id)


def test_another_model_file_needs_another_test(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    list(worker.work(run, digits))
    write_with_hash(parent.path / MODEL, saved.model_bytes(state(1), card()))
    assert find_answers_run(store, parent) is None
    assert read_answers(store.get(run.id), parent, test_hash) is None
    again = request_answers(store, parent, test_hash)
    assert again.id != run.id
    list(worker.work(again, digits))
    logits = kept_logits(store, again.id, parent, test_hash)
    assert logits == pytest.approx(by_hand(digits, 1), abs=1e-5)


def test_answers_that_are_damaged_are_computed_again(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    list(worker.work(run, digits))
    (run.path / ANSWERS).write_bytes(b"nothing")
    assert request_answers(store, parent, None).state == "finished"
    again = request_answers(store, parent, test_hash)
    assert (again.id, again.state) == (run.id, "created")
    list(worker.work(again, digits))
    assert read_answers(store.get(run.id), parent, test_hash) is not None


def test_other_pixels_are_another_test_set(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    list(worker.work(run, digits))
    dataset = data.load("Digits", digits)
    other = ImageSet(dataset.test.images[:, :, ::-1], dataset.test.labels)
    other_hash = hash_test_set(dataclasses.replace(dataset, test=other))
    assert read_answers(store.get(run.id), parent, test_hash) is not None
    assert read_answers(store.get(run.id), parent, other_hash) is None


def test_a_cancelled_test_continues(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    for event in worker.work(run, digits):
        if isinstance(event, Progress) and event.done == 200:
            launch.cancel(run)
    run = store.get(run.id)
    assert run.state == "cancelled"
    assert not (run.path / ANSWERS).exists()
    assert launch.reopen(run)
    notes = [event.text for event in worker.work(run, digits) if isinstance(event, Note)]
    assert "Continued after 200 images." in notes
    assert read_answers(store.get(run.id), parent, test_hash) is not None


def test_a_model_that_is_gone_or_damaged_fails_with_a_sentence(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    content = (parent.path / MODEL).read_bytes()
    (parent.path / MODEL).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    list(worker.work(run, digits))
    assert "is damaged" in store.get(run.id).status.message
    (parent.path / MODEL).unlink()
    with pytest.raises(UserError, match="is gone"):
        find_answers_run(store, parent)


def test_a_network_that_changed_since_its_run_is_told(store, digits, parent, test_hash):
    run = request_answers(store, parent, test_hash)
    notes = [event for event in worker.work(run, digits) if isinstance(event, Note)]
    assert any("its run recorded 90.00%" in note.text for note in notes)
