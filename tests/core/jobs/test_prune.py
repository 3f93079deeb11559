"""Pruning a trained network as a job: its masks, the schedule, the teacher, rewinding, resuming."""

import copy
import io

import pytest
import torch
import torch.nn.functional as F

from core import data
from core.compress import codec
from core.compress.pruning.gradual import cubic_density
from core.config import PruneRecipe
from core.data.batches import DeviceImages, epoch_plan
from core.data.imageset import hold_back, subset_rows
from core.errors import UserError
from core.events import EpochEnd, Finished, Note, Progress, Pruned
from core.jobs.prune import PruneJob
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs.run import PACKED
from core.training import setup
from core.training.evaluate import evaluate, mean_divergence
from tests import eager_worker
from tests.core.jobs.test_train import assert_same, is_positive_zero, summary_of

CONV, HEAD = "0.weight", "5.weight"  # of the toy
LAYERS = (CONV, HEAD)
TUNED = {"epochs": 3, "batch_size": 16, "train_images": 40, "lr": 0.05}
GRADUAL = TUNED | {"method": "magnitude", "density": 0.1, "gradual": 2, "every": 2}


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    """Every network is small, and has BatchNorm and dropout."""
    monkeypatch.setattr("core.models.build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))


def toy(seed=0):
    torch.manual_seed(seed)
    return eager_worker.network(10).eval()


def as_saved(model, digits, recipes=({"kind": "train"},)):
    dataset = data.load("Digits", digits)
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        side=32,
        recipes=recipes,
    )
    return SavedModel(card, {name: tensor.clone() for name, tensor in model.state_dict().items()})


@pytest.fixture
def parent(digits):
    return as_saved(toy(), digits)


def pruned(parent, root, early=None, **changes):
    recipe = PruneRecipe(**{"device": "cpu", "method": "magnitude", **changes})
    job = PruneJob(recipe, parent, root, early=early)
    return job, list(job.events())


def held_out(digits):
    dataset = data.load("Digits", digits)
    return DeviceImages(dataset.test, dataset.mean, dataset.std, "cpu")


def divergence_of(end):
    assert end.divergence is not None
    return end.divergence


def density_of(state):
    total = sum(state[name].numel() for name in LAYERS)
    return sum(int(state[name].count_nonzero()) for name in LAYERS) / total


# -- at once --


def test_one_shot_magnitude_keeps_the_largest_weights_as_they_are(parent, digits):
    job, events = pruned(parent, digits, density=0.3, recalibrate=False)
    state = job.result()["model"]
    weights = torch.cat([parent.state[name].flatten() for name in LAYERS])
    kept = round(0.3 * len(weights))
    threshold = weights.abs().sort(descending=True).values[kept - 1]
    for name in parent.state:
        before = parent.state[name]
        expected = before.where(before.abs() >= threshold, 0.0) if name in LAYERS else before
        assert torch.equal(state[name], expected)
    summary = summary_of(events)
    assert summary.kept == kept
    assert summary.prunable == len(weights)
    assert summary.parent_accuracy == evaluate(parent.network(), held_out(digits))[1]
    network = SavedModel(job.card(), state).network()
    assert summary.test_accuracy == evaluate(network, held_out(digits))[1]


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "magnitude"},
        {"method": "snip", "images": 100},
        {"method": "random"},
        {"method": "channel-magnitude"},
        {"method": "channel-snip", "images": 64},
        {"method": "compensated", "images": 100},
        {"method": "magnitude", "layer_densities": "layerwise"},
        {"method": "snip", "layer_densities": "erk", "images": 64},
        {"method": "compensated", "layer_densities": "uniform+", "images": 64},
        {"method": "magnitude", **TUNED},
        {"method": "compensated", "images": 64, **TUNED, "teacher": "labels"},
        GRADUAL,
        GRADUAL | {"method": "snip", "images": 64, "teacher": "labels"},
    ],
    ids=str,
)
def test_zeros_masks_and_the_packed_file_agree(parent, digits, changes):
    job, events = pruned(parent, digits, **{"density": 0.2, **changes})
    result = job.result()
    state = result["model"]
    density = changes.get("density", 0.2)
    total = sum(mask.numel() for mask in result["masks"].values())
    kept = sum(int(mask.sum()) for mask in result["masks"].values())
    assert abs(kept - density * total) <= len(LAYERS)
    for name, mask in result["masks"].items():
        assert is_positive_zero(state[name][~mask])
    assert kept >= summary_of(events).kept > 0.9 * kept  # a kept weight may be 0 by chance
    packed = codec.unpack(job.files()[PACKED])
    assert_same({"model": packed.state()}, {"model": state})
    assert packed.card.recipes[-1] == job.recipe.model_dump(mode="json")
    last = [event for event in events if isinstance(event, Pruned)][-1]
    assert (last.kept, last.prunable) == (kept, total)


def test_spared_layers_stay_dense(parent, digits):
    job, _ = pruned(parent, digits, density=0.9, spare_first=True, recalibrate=False)
    assert torch.equal(job.result()["model"][CONV], parent.state[CONV])
    assert density_of(job.result()["model"]) == pytest.approx(0.9, abs=1e-3)


def test_a_network_is_not_pruned_to_what_it_has_already(parent, digits):
    first, _ = pruned(parent, digits, density=0.3)
    half = SavedModel(first.card(), first.result()["model"])
    with pytest.raises(UserError, match=r"^density must be below 0\.3"):
        pruned(half, digits, density=0.3)
    second, events = pruned(half, digits, density=0.1)
    assert summary_of(events).density == pytest.approx(0.1, abs=1e-3)
    for name in LAYERS:
        assert not second.result()["model"][name][half.state[name] == 0].any()


def test_batchnorm_is_re_estimated_only_without_fine_tuning(parent, digits):
    for recalibrate in (False, True):
        job, _ = pruned(parent, digits, density=0.2, recalibrate=recalibrate)
        mean = job.result()["model"]["1.running_mean"]
        assert torch.equal(mean, parent.state["1.running_mean"]) is not recalibrate


# -- fine-tuning --


def test_the_steps_are_those_of_a_plain_loop(parent, digits, monkeypatch):
    """Nesterov's SGD with weight decay on the labels, the masks applied by hand after each step."""
    monkeypatch.setattr("core.models.build", lambda *_: undropped(eager_worker.network(10)))
    changes = {"epochs": 1, "batch_size": 16, "train_images": 40, "lr": 0.05, "seed": 4}
    job, _ = pruned(parent, digits, density=0.2, teacher="labels", **changes)
    dataset = data.load("Digits", digits)
    rows, _ = hold_back(dataset.train.labels, int(0.1 * len(dataset.train)), 4)
    rows = rows[subset_rows(dataset.train.labels[rows], 40, 4)]
    images = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu", rows=rows)
    model = undropped(toy()).train()
    masks = job.result()["masks"]
    optimizer = torch.optim.SGD(
        model.parameters(), lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    order, augmentation = epoch_plan(40, 4, 0, dataset.augment)
    batches = order.split(16)
    for number, indices in enumerate(batches):
        for name, mask in masks.items():
            model.get_parameter(name).data.mul_(mask)
        for group in optimizer.param_groups:
            group["lr"] = 0.05 * (1 + torch.cos(torch.tensor(torch.pi * number / 3))) / 2
        batch, labels = images.batch(indices, augmentation)
        optimizer.zero_grad()
        F.cross_entropy(model(batch), labels).backward()
        for name, mask in masks.items():
            model.get_parameter(name).grad.mul_(mask)
        optimizer.step()
    for name, tensor in model.state_dict().items():
        torch.testing.assert_close(job.result()["model"][name], tensor, rtol=1e-4, atol=1e-6)


def undropped(model):
    model[3].p = 0.0
    return model


def test_gradual_pruning_follows_the_cubic_schedule(parent, digits):
    """40 images in batches of 16 are 3 steps an epoch; prunings come after steps 2, 4 and 6."""
    _, events = pruned(parent, digits, **GRADUAL)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    expected = [cubic_density(1.0, 0.1, share) for share in (1 / 3, 3 / 3, 3 / 3)]
    assert [end.density for end in ends] == pytest.approx(expected, abs=1e-3)
    assert len([event for event in events if isinstance(event, Pruned)]) == 1


def test_the_result_is_never_an_epoch_before_the_last_pruning(parent, digits):
    """Epochs with more weights have answers closer to the parent's, and do not count."""
    job, events = pruned(parent, digits, **GRADUAL)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    late = [end for end in ends if end.density == pytest.approx(0.1, abs=1e-3)]
    best = min(late, key=divergence_of)
    assert summary_of(events).test_accuracy == best.test_accuracy
    assert density_of(job.result()["model"]) == pytest.approx(0.1, abs=1e-3)


def test_the_teacher_decides_by_divergence_on_images_that_were_held_back(parent, digits):
    job, events = pruned(parent, digits, density=0.2, **TUNED)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    best = min(ends, key=divergence_of)
    state = job.result()["model"]
    dataset = data.load("Digits", digits)
    _, held_back = hold_back(dataset.train.labels, int(0.1 * len(dataset.train)), 0)
    images = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu", rows=held_back)
    network = SavedModel(job.card(), state).network()
    assert mean_divergence(network, parent.network(), images) == pytest.approx(best.divergence)
    assert summary_of(events).best_by == "divergence"


def test_labels_decide_by_accuracy_on_images_that_were_held_back(parent, digits):
    _, events = pruned(parent, digits, density=0.2, **TUNED, teacher="labels")
    assert summary_of(events).best_by == "validation"
    ends = [event for event in events if isinstance(event, EpochEnd)]
    assert all(end.divergence is None for end in ends)


def test_rewinding_takes_the_early_values_of_the_kept_weights(parent, digits):
    """At a learning rate of nearly 0 the result is the early network under the late masks."""
    early = toy(seed=9).state_dict()
    one, _ = pruned(parent, digits, density=0.3, recalibrate=False)
    job, events = pruned(
        parent, digits, early=early, density=0.3, rewind=1, **TUNED | {"lr": 1e-12}
    )
    for name in LAYERS:
        mask = one.result()["masks"][name]
        assert torch.equal(job.result()["masks"][name], mask)
        torch.testing.assert_close(job.result()["model"][name], early[name] * mask)
    assert "The kept weights are those of epoch 1 again." in [
        event.text for event in events if isinstance(event, Note)
    ]


# -- resuming --


def stored(checkpoint):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, map_location="cpu", weights_only=True)


@pytest.mark.parametrize(
    "changes",
    [
        GRADUAL,
        GRADUAL | {"method": "snip", "images": 64, "teacher": "labels"},
        TUNED | {"method": "compensated", "density": 0.2, "images": 64},
    ],
    ids=["gradual", "gradual SNIP on labels", "compensated"],
)
def test_resume_after_any_event_ends_in_the_same_bits(parent, digits, changes):
    recipe = PruneRecipe(device="cpu", **changes)
    job = PruneJob(recipe, parent, digits)
    checkpoints = []
    for event in job.events():
        state = copy.deepcopy(job.checkpoint())
        if state is not None and not isinstance(event, Finished):
            checkpoints.append(state)
    assert len(checkpoints) > 6
    for state in checkpoints[::2]:
        again = PruneJob(recipe, parent, digits, stored(state))
        events = list(again.events())
        assert_same(again.result(), job.result())
        assert again.files() == job.files()
        assert isinstance(events[-1], Finished)
        assert not any(
            isinstance(event, Progress) and event.stage.startswith("Testing the network before")
            for event in events
        )
