"""Importing as a job: the network's own accuracy and card, and one sentence for each failure."""

import io

import numpy as np
import pytest
import torch
from safetensors.torch import save as safe

from core import data, models
from core.checkpoints.reader import read_checkpoint
from core.compress import codec
from core.compress.kmeans import share_model
from core.config import AffineRecipe, ImportRecipe, TrainRecipe
from core.errors import UserError
from core.events import Finished, Note, Progress
from core.jobs.import_network import ImportJob
from core.models import saved
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.runs import worker
from core.runs.run import IMPORT_SOURCE, MODEL, PACKED

MEAN, STD = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)
RECIPE = ImportRecipe(
    file="net.pth", model="LeNet5", dataset="Digits", mean=MEAN, std=STD, device="cpu"
)


def network(classes=10):
    torch.manual_seed(0)
    return models.build("LeNet5", classes).eval()


def torch_saved(content):
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


@pytest.fixture
def imported(tmp_path, digits):
    """A function that runs the import of a file's bytes: the job and its events."""

    def run(content, **changes):
        source = tmp_path / "source"
        source.write_bytes(content)
        job = ImportJob(RECIPE.model_copy(update=changes), source, digits)
        return job, list(job.events())

    return run


@torch.no_grad()
def accuracy(model, digits):
    """In one batch and by hand."""
    test = data.load("Digits", digits).test
    mean = np.array(MEAN, np.float32)[:, None, None]
    std = np.array(STD, np.float32)[:, None, None]
    pixels = (np.asarray(test.images, np.float32) / 255 - mean) / std
    return (model(torch.from_numpy(pixels)).argmax(1).numpy() == test.labels).mean()


def test_the_accuracy_is_the_networks_own(imported, digits):
    model = network()
    job, events = imported(
        torch_saved({"state_dict": {f"module.{k}": v for k, v in model.state_dict().items()}})
    )
    assert isinstance(events[-1], Finished)
    summary = events[-1].summary
    assert summary.test_accuracy == summary.best_accuracy == pytest.approx(accuracy(model, digits))
    assert summary.float_bytes == 4 * sum(tensor.numel() for tensor in model.state_dict().values())
    unknown = ("test_accuracy", "best_accuracy", "test_loss", "float_bytes", "packed_bytes")
    assert summary.to_dict() | dict.fromkeys(unknown, 0) == {
        "model": "LeNet5",
        "dataset": "Digits",
        "density": 1.0,
        "kept": 61_770,
        "prunable": 61_770,
        "epochs": 0,
        "test_accuracy": 0,
        "best_accuracy": 0,
        "test_loss": 0,
        "train_seconds": 0.0,
        "images_per_second": 0.0,
        "device": "cpu",
        "test_images": 360,
        "classes": 10,
        "float_bytes": 0,
        "packed_bytes": 0,
    }
    for name, tensor in model.state_dict().items():
        assert torch.equal(job.result()["model"][name], tensor)


def test_it_tells_how_far_it_is_and_what_it_did(imported):
    _, events = imported(
        torch_saved({f"module.{k}": v.half() for k, v in network().state_dict().items()})
    )
    testing = [
        event for event in events if isinstance(event, Progress) and event.stage == "Testing"
    ]
    assert (testing[-1].done, testing[-1].total, testing[-1].unit) == (360, 360, "images")
    notes = " ".join(event.text for event in events if isinstance(event, Note))
    assert "module." in notes
    assert "float16" in notes
    assert "All 10 tensors of net.pth match those of LeNet5, by name." in notes


def test_nothing_is_a_result_before_the_file_is_known_to_fit(tmp_path, digits):
    (tmp_path / "source").write_bytes(torch_saved(network().state_dict()))
    job = ImportJob(RECIPE, tmp_path / "source", digits)
    events = job.events()
    next(events)
    assert job.result() == {}
    assert job.files() == {}
    assert job.checkpoint() is None


def test_the_facts_carry_the_networks_normalisation(imported):
    job, _ = imported(torch_saved(network().state_dict()))
    assert (job.card().mean, job.card().std) == (MEAN, STD)
    assert job.card().classes == tuple("0123456789")
    assert job.card().recipes == (RECIPE.model_dump(mode="json"),)


def test_zeros_are_counted_as_pruned(imported):
    model = network()
    for weight in prunable_weights(model).values():
        weight.data.view(-1)[::2] = 0
    _, events = imported(torch_saved(model.state_dict()))
    kept = sum(int(weight.count_nonzero()) for weight in prunable_weights(model).values())
    assert (events[-1].summary.kept, events[-1].summary.density) == (kept, kept / 61_770)


def test_by_order(imported, digits):
    model = network()
    other = {
        name.replace("features", "body").replace("classifier", "head"): tensor
        for name, tensor in model.state_dict().items()
    }
    _, events = imported(torch_saved(other), by_order=True)
    assert events[-1].summary.test_accuracy == pytest.approx(accuracy(model, digits))
    with pytest.raises(UserError, match="--by-order"):
        imported(torch_saved(other))


def test_a_file_of_secateurs_keeps_its_history(imported):
    first = TrainRecipe(model="LeNet5", dataset="Digits").model_dump(mode="json")
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=MEAN,
        std=STD,
        side=32,
        recipes=(first,),
    )
    job, _ = imported(saved.model_bytes(network().state_dict(), card))
    assert job.card().recipes == (first, RECIPE.model_dump(mode="json"))


def test_a_network_in_float_gets_a_packed_file(imported):
    model = network()
    job, events = imported(torch_saved(model.state_dict()))
    content = job.files()["packed.secateur"]
    packed = codec.unpack(content)
    assert packed.card == job.card()
    assert not packed.card.is_quantized
    state = packed.state()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())
    summary = events[-1].summary
    assert summary.packed_bytes == len(content) < summary.float_bytes


@pytest.fixture
def packed():
    """A packed file of five clusters a layer, and the network that it decodes to."""
    model = network()
    books = share_model(model, 5)
    card = ModelCard(
        model="LeNet5",
        classes=tuple("0123456789"),
        mean=MEAN,
        std=STD,
        side=32,
        recipes=({"kind": "train", "dataset": "Digits"},),
    )
    content, _ = codec.pack(model.state_dict() | books, card)
    model.load_state_dict(codec.unpack(content).state())
    return content, model


def test_a_packed_file_stays_one(imported, packed, digits):
    content, model = packed
    job, events = imported(content)
    summary = events[-1].summary
    assert summary.test_accuracy == pytest.approx(accuracy(model, digits))
    assert summary.packed_bytes == len(content) < summary.float_bytes
    assert job.files() == {PACKED: content}
    assert job.card().recipes[0] == {"kind": "train", "dataset": "Digits"}


def test_reading_a_packed_file_says_what_it_is(packed):
    content, model = packed
    checkpoint = read_checkpoint(content, "x")
    assert checkpoint.card is not None
    assert checkpoint.card.dataset == "Digits"
    assert checkpoint.packed is not None
    assert checkpoint.packed.card.model == "LeNet5"
    assert torch.equal(
        checkpoint.state["features.0.weight"], model.state_dict()["features.0.weight"]
    )
    with pytest.raises(UserError, match="damaged"):
        read_checkpoint(content[:-1] + bytes([content[-1] ^ 1]), "x")


# -- what cannot be --


@pytest.mark.parametrize(
    ("content", "changes", "words"),
    [
        (
            lambda: torch_saved(network(7).state_dict()),
            {},
            "is a network for 7 classes, and Digits has 10",
        ),
        (
            lambda: torch_saved(network().state_dict()),
            {"model": "ResNet20"},
            "net.pth is no ResNet20 for 10 classes",
        ),
        (lambda: torch_saved(network().state_dict()), {"model": "alexnet"}, "at least 63"),
        (
            lambda: torch_saved(network().state_dict()),
            {"dataset": "Nothing"},
            "dataset must be one of",
        ),
        (lambda: safe({"a": torch.ones(2)}), {}, "net.pth is no LeNet5 for 10 classes"),
        (
            lambda: (
                b"\x3b"
                + b"\0" * 7
                + b'{"__metadata__":[1],"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]}}' * 2
            ),
            {},
            "net.pth is damaged",
        ),
        (lambda: b"hello", {}, "net.pth is no checkpoint"),
        (lambda: b"", {}, "net.pth is empty"),
    ],
)
def test_what_cannot_be_imported_says_so_in_one_sentence(imported, content, changes, words):
    with pytest.raises(UserError) as caught:
        imported(content(), **changes)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_source_that_is_gone(tmp_path, digits):
    with pytest.raises(UserError, match="no file"):
        list(ImportJob(RECIPE, tmp_path / "source", digits).events())


# -- as a run --


def test_it_becomes_a_run_like_any_other(store, digits):
    model = network()
    run = store.create(RECIPE, files={IMPORT_SOURCE: torch_saved(model.state_dict())})
    assert run.name == "LeNet5 · Digits · net.pth"
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "finished"
    assert run.has_model
    assert run.status.summary.test_accuracy == pytest.approx(accuracy(model, digits))
    found = saved.read_model(run.path / MODEL)
    assert found.card.mean == MEAN
    images = torch.randn(2, 3, 32, 32)
    assert torch.equal(found.network()(images), model(images))
    assert store.create(AffineRecipe(), parent=run.id).model == "LeNet5"


def test_a_hostile_file_fails_its_run_with_a_sentence(store, digits):
    run = store.create(RECIPE, files={IMPORT_SOURCE: torch_saved(network())})
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "failed"
    assert "net.pth contains code, not only weights" in run.status.message
    assert not run.has_model
