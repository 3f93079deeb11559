"""Answers by hand, computed from a network, and kept in a file."""

import math

import numpy as np
import pytest
import torch

from core.data.batches import DeviceImages
from core.data.imageset import Dataset, ImageSet
from core.errors import UserError
from core.events import Progress, result_of
from core.inspect.behaviour import answers as module
from core.inspect.behaviour.answers import (
    Answers,
    answers_bytes,
    compute_answers,
    hash_test_set,
    load_answers,
)
from core.training.evaluate import evaluate
from tests import toys

ODDS = np.array([[6, 3, 1], [1, 1, 2], [1, 8, 1]])
LABELS = np.array([0, 1, 1])


def by_hand():
    return Answers(np.log(ODDS).astype(np.float32))


def ten_images():
    generator = np.random.default_rng(0)
    pixels = generator.integers(0, 256, (10, 3, 8, 8), np.uint8)
    labels = generator.integers(0, 5, 10)
    return DeviceImages(ImageSet(pixels, labels), (0.5,) * 3, (0.5,) * 3, "cpu")


def test_properties_by_hand():
    answers = by_hand()
    assert (len(answers), answers.class_count) == (3, 3)
    assert answers.predicted.tolist() == [0, 2, 1]
    assert answers.probabilities.ravel() == pytest.approx(
        [0.6, 0.3, 0.1, 0.25, 0.25, 0.5, 0.1, 0.8, 0.1]
    )
    assert answers.confidence == pytest.approx([0.6, 0.5, 0.8])
    assert answers.right(LABELS).tolist() == [True, False, True]
    assert answers.margin(LABELS) == pytest.approx([0.3, -0.25, 0.7])


@pytest.mark.parametrize(("label", "is_right"), [(0, True), (1, False)])
def test_the_margin_of_equal_logits_is_zero_for_a_right_answer_and_for_a_wrong_one(label, is_right):
    answers = Answers(np.ones((1, 2), np.float32))
    labels = np.array([label])
    assert answers.right(labels).tolist() == [is_right]
    assert answers.margin(labels).tolist() == [0]


def test_the_hash_of_a_test_set_is_of_images_labels_and_classes():
    def dataset(pixel=0, label=0, classes=("a", "b"), training_pixel=0):
        test = ImageSet(np.full((1, 3, 2, 2), pixel, np.uint8), np.array([label]))
        train = ImageSet(np.full((1, 3, 2, 2), training_pixel, np.uint8), np.array([0]))
        return Dataset("some", train, test, classes, (0.0,) * 3, (1.0,) * 3, augment=False)

    same = hash_test_set(dataset())
    assert hash_test_set(dataset(training_pixel=1)) == same
    others = [dataset(pixel=1), dataset(label=1), dataset(classes=("b", "a"))]
    assert len({same, *map(hash_test_set, others)}) == 4


@pytest.mark.parametrize("done", [0, 1, 2, 3])
def test_it_continues_after_the_first_batches(monkeypatch, done):
    monkeypatch.setattr(module, "_BATCH", 4)
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    batches: list[np.ndarray] = []
    whole = result_of(compute_answers(model, ten_images(), "Testing", batches))
    assert [len(batch) for batch in batches] == [4, 4, 2]
    kept = batches[:done]
    events = list(compute_answers(model, ten_images(), "Testing", kept))
    assert [event.done for event in events] == [4, 8, 10][done:]
    assert np.concatenate(kept).tobytes() == whole.logits.tobytes()


def test_large_logits_do_not_overflow():
    answers = Answers(np.array([[1000, 0], [-1000, -1000]], np.float32))
    assert answers.probabilities.tolist() == [[1, 0], [0.5, 0.5]]


@pytest.mark.parametrize(
    "logits",
    [
        np.zeros((2, 3)),
        np.zeros(3, np.float32),
        np.zeros((0, 3), np.float32),
        np.zeros((3, 1), np.float32),
        np.array([[0, math.nan]], np.float32),
    ],
)
def test_other_logits_are_refused(logits):
    with pytest.raises(ValueError, match="logits must"):
        Answers(logits)


@pytest.mark.parametrize("labels", [[0, 1], [0, 1, 3], [-1, 0, 0]])
def test_other_labels_are_refused(labels):
    with pytest.raises(ValueError, match="labels must"):
        by_hand().margin(np.array(labels))


def test_the_answers_of_a_network_are_those_that_its_accuracy_is_measured_by(monkeypatch):
    monkeypatch.setattr(module, "_BATCH", 4)
    model = toys.Flat(dropout=0.5).train()
    model.norm.eval()
    images = ten_images()
    _, accuracy = evaluate(model, images)
    statistics = model.state_dict()["norm.running_mean"].clone()
    computing = compute_answers(model, images, "A")
    progress = []
    while True:
        try:
            event = next(computing)
        except StopIteration as end:
            answers = end.value
            break
        assert isinstance(event, Progress)
        progress.append((event.stage, event.done, event.total, event.unit))
        assert model.training
        assert not model.norm.training
    assert progress == [("A", done, 10, "images") for done in (4, 8, 10)]
    assert answers.logits.dtype == np.float32
    assert answers.right(images.labels.numpy()).mean() == pytest.approx(accuracy)
    assert torch.equal(model.state_dict()["norm.running_mean"], statistics)
    model.eval()
    expected = model(images.batch(slice(0, 10))[0]).detach().numpy()
    assert answers.logits == pytest.approx(expected, abs=1e-6)


def test_the_model_is_restored_after_an_exception():
    class Broken(toys.Flat):
        def forward(self, images):
            raise RuntimeError

    model = Broken().train()
    with pytest.raises(RuntimeError):
        next(compute_answers(model, ten_images(), "A"))
    assert model.training


def test_logits_that_are_not_finite_are_refused():
    model = toys.Flat()
    torch.nn.init.constant_(model.head.bias, math.inf)
    with pytest.raises(UserError, match="10 of 10 images are infinite or NaN"):
        result_of(compute_answers(model, ten_images(), "A"))


def test_saved_answers_are_loaded_with_their_key_only(tmp_path):
    path = tmp_path / "answers.safetensors"
    assert load_answers(path, "k") is None
    path.write_bytes(answers_bytes(by_hand(), "k"))
    loaded = load_answers(path, "k")
    assert loaded is not None
    assert np.array_equal(loaded.logits, by_hand().logits)
    assert load_answers(path, "another") is None
    path.write_bytes(answers_bytes(by_hand(), "another"))
    assert load_answers(path, "k") is None
    assert [file.name for file in tmp_path.iterdir()] == [path.name]


def test_a_view_is_saved_in_its_own_order(tmp_path):
    path = tmp_path / "answers.safetensors"
    logits = np.arange(6, dtype=np.float32).reshape(3, 2).T
    path.write_bytes(answers_bytes(Answers(logits), "k"))
    loaded = load_answers(path, "k")
    assert loaded is not None
    assert np.array_equal(loaded.logits, logits)


def test_a_damaged_file_is_none_wherever_it_is_damaged(tmp_path):
    path = tmp_path / "answers.safetensors"
    path.write_bytes(answers_bytes(by_hand(), "k"))
    intact = path.read_bytes()
    for position in range(len(intact)):
        damaged = bytearray(intact)
        damaged[position] ^= 1
        path.write_bytes(damaged)
        loaded = load_answers(path, "k")
        # A space before the end of the header says nothing, so that one may change.
        assert loaded is None or np.array_equal(loaded.logits, by_hand().logits), position
    for length in range(0, len(intact), 7):
        path.write_bytes(intact[:length])
        assert load_answers(path, "k") is None, length


def test_a_file_of_something_else_is_none(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "answers.safetensors"
    save_file({"weights": np.zeros(3, np.float32)}, path, {"key": "k"})
    assert load_answers(path, "k") is None
    save_file({"logits": np.zeros(3, np.float32)}, path, {"key": "k"})
    assert load_answers(path, "k") is None
    save_file({"logits": np.zeros((1, 2), np.float32)}, path)
    assert load_answers(path, "k") is None
    assert load_answers(tmp_path, "k") is None
