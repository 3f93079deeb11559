"""The network in 8-bit integers as a job and as a run, on real digits."""

import re

import pytest
import torch

from core import data, models
from core.config import AffineRecipe, AnswersRecipe, Int8Recipe, TrainRecipe
from core.data.batches import normalise
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.layers import weights_in_file
from core.deploy.onnx.metadata import card_of
from core.errors import UserError
from core.events import Finished, Note, Progress, result_of
from core.hashes import write_with_hash
from core.jobs.check import check_recipe
from core.jobs.int8 import Int8Job
from core.models import saved
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs import launch, worker
from core.runs.comparison.compared import compared_runs
from core.runs.comparison.figures import bytes_on_disk
from core.runs.int8 import request_int8
from core.runs.integrity import check_runs
from core.runs.run import INT8, MODEL
from core.runs.store import RunStore, describe_recipe
from tests.sample_runs import sample_run

MEAN, STD = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)  # not those of Digits: a network brings its own
RECIPE = Int8Recipe(images=64)
IMAGES = 360


@pytest.fixture(scope="module")
def state(digits):
    """LeNet5 with a last layer fitted to Digits.

    Half of the channels of its first layer are dead, and a kernel of another one is pruned.
    """
    torch.manual_seed(0)
    network = models.build("LeNet5", 10).eval()
    first = network.get_parameter("features.0.weight")
    *_, last = network.modules()
    assert isinstance(last, torch.nn.Linear)
    with torch.no_grad():
        first[::2] = 0
        first[1, 0] = 0
        train = data.load("Digits", digits).train
        features: dict[str, torch.Tensor] = {}
        last.register_forward_pre_hook(lambda _, inputs: features.update(x=inputs[0]))
        network(normalise(train.images, MEAN, STD))
        targets = torch.nn.functional.one_hot(torch.tensor(train.labels), 10) - 0.1
        x = torch.cat([features["x"], torch.ones(len(train), 1)], 1).double()
        ridge = torch.eye(x.shape[1], dtype=torch.float64)
        solution = torch.linalg.solve(x.T @ x + 0.01 * ridge, x.T @ targets.double()).float()
        last.weight.copy_(solution[:-1].T)
        last.bias.copy_(solution[-1])
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def card(classes=tuple("0123456789"), recipes=()):
    return ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=classes,
        mean=MEAN,
        std=STD,
        side=32,
        recipes=recipes,
    )


def job_on(digits, state, recipe=RECIPE, recorded=None, **changes):
    return Int8Job(recipe, SavedModel(card(**changes), state), digits, recorded)


@pytest.fixture(scope="module")
def finished(digits, state):
    """A job that was run to its end, and its events."""
    job = job_on(digits, state)
    return job, list(job.events())


def test_the_summary_is_that_of_the_file(digits, state, finished):
    job, events = finished
    test = data.load("Digits", digits).test
    content = job.files()[INT8]
    logits = OnnxEngine(content).run(normalise(test.images, MEAN, STD).numpy())
    summary = events[-1].summary
    assert isinstance(events[-1], Finished)
    assert summary.test_accuracy == (logits.argmax(1) == test.labels).mean()
    assert summary.test_accuracy > 0.8
    assert abs(summary.test_accuracy - summary.parent_accuracy) < 0.02
    assert summary.onnx_bytes == len(content)
    assert summary.onnx_bytes < summary.float_bytes / 3
    assert (summary.test_images, summary.classes, summary.epochs) == (IMAGES, 10, 0)
    zeros = sum(int((state[name] == 0).sum()) for name in state if name.endswith("weight"))
    assert summary.kept == summary.prunable - zeros
    assert summary.density == summary.kept / summary.prunable


def test_pruned_weights_are_zero_in_integers(state, finished):
    job, _ = finished
    weights = weights_in_file(job.files()[INT8])
    first = weights["features.0.weight"]
    assert first.dtype == torch.int8
    assert first.shape == (3, 3, 5, 5)  # of 6 channels, 3 are dead
    assert not first[state["features.0.weight"][1::2] == 0].any()
    assert all(kernels.any() for kernels in first)


def test_the_card_names_the_recipe(finished):
    job, _ = finished
    assert card_of(job.files()[INT8]) == card(recipes=(RECIPE.model_dump(mode="json"),))


def test_the_parent_is_measured_in_pytorch(digits, state, finished):
    _, events = finished
    test = data.load("Digits", digits).test
    network = SavedModel(card(), state).network()
    with torch.no_grad():
        predicted = network(normalise(test.images, MEAN, STD)).argmax(1).numpy()
    assert events[-1].summary.parent_accuracy == (predicted == test.labels).mean()


def test_stages_and_notes(finished):
    _, events = finished
    stages = list(dict.fromkeys(e.stage for e in events if isinstance(e, Progress)))
    assert stages == [
        "Testing the float network",
        "Exporting to ONNX",
        "Calibrating and rounding",
        "Testing the integer network",
    ]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "calibrated on 64 training images" in notes[0]
    assert re.match(r"Dead channels: \d+ of 236 leave the network; multiply-adds from", notes[1])
    assert "differs from PyTorch by at most" in notes[2]


def test_another_record_is_a_warning(digits, state):
    events = job_on(digits, state, recorded=0.1).events()
    warning = next(e for e in events if isinstance(e, Note) and e.level == "warning")
    assert "recorded 10.00%" in warning.text


def test_no_result_before_the_end(digits, state):
    job = job_on(digits, state)
    next(job.events())
    assert (job.files(), job.result(), job.checkpoint()) == ({}, {}, None)


def test_first_and_last_layer_stay_in_float(digits, state):
    job = job_on(digits, state, Int8Recipe(images=8, float_first=True, float_last=True))
    list(job.events())
    weights = weights_in_file(job.files()[INT8])
    is_float = [weights[name].is_floating_point() for name in saved.layer_shapes(card())]
    assert is_float == [True, False, False, False, True]


def test_calibration_images_are_not_those_held_back(digits, state):
    """Of 1,437 training images the training held 1,400 back, so 37 are left."""
    trained = TrainRecipe(model="LeNet5", dataset="Digits", validation=1400).model_dump(mode="json")
    job = job_on(digits, state, Int8Recipe(images=38), recipes=(trained,))
    with pytest.raises(UserError, match=r"^images must be at most 37, .* got 38$"):
        list(job.events())


def test_what_cannot_work_is_refused_before(digits):
    with pytest.raises(UserError, match=r"^--calibration must be at most 1,437, .* got 1438$"):
        check_recipe(Int8Recipe(images=1438), digits, {"images": "--calibration"}, dataset="Digits")


def test_other_classes_are_refused(digits, state):
    with pytest.raises(UserError, match="other classes"):
        list(job_on(digits, state, classes=tuple("abcdefghij")).events())


# -- as a run --


@pytest.fixture
def parent(store, state):
    run = sample_run(store, recipe=TrainRecipe(model="LeNet5", dataset="Digits", epochs=4))
    write_with_hash(run.path / MODEL, saved.model_bytes(state, card()))
    return run


def test_it_is_a_result_without_a_model(store, digits, parent):
    run = request_int8(store, parent, RECIPE)
    assert (run.name, run.config.parent) == ("8-bit integers", parent.id)
    list(worker.work(run, digits))
    run = store.get(run.id)
    assert run.state == "finished"
    assert not run.has_model
    assert not run.is_helper
    assert run.id in [listed.id for listed in store.list()]
    size = (run.path / INT8).stat().st_size
    assert bytes_on_disk(run) == run.status.summary.onnx_bytes == size
    checked = result_of(check_runs([run]))
    assert [(file.path.name, file.state) for file in checked] == [(INT8, "intact")]
    runs = {other.id: other for other in (run, parent)}
    compared, _ = compared_runs([run, parent], runs)
    assert (compared.kind, [member.id for member in compared.lineage]) == (
        "integers",
        [parent.id, run.id],
    )
    assert compared.settings["int8.images"] == 64
    for recipe in (AffineRecipe(), AnswersRecipe(), RECIPE):
        with pytest.raises(UserError, match="an ONNX file in 8-bit integers, without weights"):
            store.create(recipe, parent=run.id)
    assert request_int8(store, parent, RECIPE).id == run.id  # the same request is the same run
    (run.path / INT8).unlink()
    again = request_int8(store, parent, RECIPE)  # what is lost is made again
    assert (again.id, again.state) == (run.id, "created")


def test_it_needs_a_parent():
    with pytest.raises(UserError, match=r"needs a parent: the run whose network is quantized\.$"):
        RunStore("nowhere").create(RECIPE)


def test_other_settings_and_other_weights_are_other_runs(store, state, parent):
    run = request_int8(store, parent, RECIPE)
    assert request_int8(store, parent, Int8Recipe(images=65)).id != run.id
    changed = {name: tensor + 1 for name, tensor in state.items()}
    write_with_hash(parent.path / MODEL, saved.model_bytes(changed, card()))
    assert request_int8(store, parent, RECIPE).id != run.id


def test_a_cancelled_run_is_done_again(store, digits, parent):
    run = request_int8(store, parent, RECIPE)
    events = worker.work(run, digits)
    while not isinstance(next(events), Note):
        pass
    launch.cancel(run)
    list(events)
    assert store.get(run.id).state == "cancelled"
    assert not (run.path / INT8).exists()
    assert launch.reopen(run)
    list(worker.work(run, digits))
    assert store.get(run.id).state == "finished"


def test_the_recipe_in_words():
    assert describe_recipe(Int8Recipe()) == "8-bit integers"
    both = Int8Recipe(float_first=True, float_last=True)
    assert describe_recipe(both) == "8-bit integers, first and last layer in float"
