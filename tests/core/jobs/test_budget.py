"""A budget as a job: never over the limit, repeated, resumed, and honest about its tests."""

import functools
import hashlib
import io

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from core import data
from core.compress import codec
from core.compress.affine import Affine
from core.compress.kmeans import Codebook
from core.config import BudgetRecipe
from core.data.batches import DeviceImages
from core.errors import UserError
from core.events import Candidate, Note, Progress, Quantized
from core.jobs.budget.checks import smallest_limit
from core.jobs.budget.job import BudgetJob
from core.jobs.budget.setup import blend
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs.run import PACKED
from core.training import setup
from tests import eager_worker
from tests.core.jobs.test_train import assert_same, is_positive_zero, summary_of

CONV, HEAD = "0.weight", "5.weight"  # of the toy
COUNTED = {"images": 64, "trials": 3, "tuning_epochs": 0, "device": "cpu", "kinds": ("share",)}
"""How much is done is given, so that the clock decides nothing."""


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    """Every network is small, and has BatchNorm and dropout."""
    monkeypatch.setattr("core.models.build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))


def as_saved(model, digits):
    dataset = data.load("Digits", digits)
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=dataset.classes,
        mean=dataset.mean,
        std=dataset.std,
        side=32,
        recipes=({"kind": "train"},),
    )
    return SavedModel(card, {name: tensor.clone() for name, tensor in model.state_dict().items()})


def toy(digits):
    """The small network, whose last layer is fitted to the training images by least squares."""
    torch.manual_seed(0)
    network = eager_worker.network(10).eval()
    dataset = data.load("Digits", digits)
    images, labels = DeviceImages(dataset.train, dataset.mean, dataset.std, "cpu").batch(
        slice(None)
    )
    with torch.no_grad():
        features = network[:5](images)
        wanted = 5 * F.one_hot(labels, 10).float()
        normal = features.T @ features + 10 * torch.eye(features.shape[1])
        head = torch.linalg.solve(normal, features.T @ wanted)
        network.get_parameter(HEAD).copy_(head.T)
        network.get_parameter("5.bias").zero_()
    return network


@pytest.fixture(scope="module")
def network(digits):
    return toy(digits)


@pytest.fixture
def parent(network, digits):
    return as_saved(network, digits)


def budgeted(parent, root, **changes):
    job = BudgetJob(BudgetRecipe(**{**COUNTED, **changes}), parent, root)
    return job, list(job.events())


@pytest.fixture(scope="module")
def search_once(network, digits):
    """A function that gives job and events of a search on the network, which is made only once."""

    @functools.cache
    def search(**changes):
        return budgeted(as_saved(network, digits), digits, **changes)

    return search


def candidates_of(events):
    return [event for event in events if isinstance(event, Candidate)]


def judged(event):
    """What candidates compete by: a tuned one must be clearly closer to the float network."""
    return event.divergence * (1.25 if event.epochs else 1)


def half_b(digits):
    """The test images of half B, found in another way: those with the larger hashes."""
    test = data.load("Digits", digits).test
    hashes = [hashlib.sha256(image.tobytes()).hexdigest() for image in test.images]
    border = sorted(hashes)[(len(hashes) + 1) // 2]
    return [row for row, text in enumerate(hashes) if text >= border]


def accuracy_on(state, rows, parent, digits):
    dataset = data.load("Digits", digits)
    images = DeviceImages(dataset.test, dataset.mean, dataset.std, "cpu")
    batch, labels = images.batch(torch.tensor(rows))
    with torch.no_grad():
        logits = SavedModel(parent.card, state).network()(batch)
    return (logits.argmax(1) == labels).float().mean().item()


# -- bytes --


@pytest.mark.parametrize(
    "changes",
    [
        {"bytes": 1600},
        {"bytes": 1801, "kinds": ("share", "round")},
        {"smaller": 6, "kinds": ("round",)},
        {"bytes": 1600, "tuning_epochs": 1},
    ],
    ids=str,
)
def test_the_file_is_never_over_the_limit_and_is_the_model(parent, search_once, changes):
    job, events = search_once(**changes)
    summary = summary_of(events)
    content = job.files()[PACKED]
    limit = changes.get("bytes") or summary.float_bytes / changes["smaller"]
    assert 0.8 * limit < len(content) <= limit
    assert summary.packed_bytes == len(content)
    packed = codec.unpack(content)
    assert_same({"model": packed.state()}, job.result())
    assert packed.card.recipes == (*parent.card.recipes, job.recipe.model_dump(mode="json"))
    chosen = min(
        (event for event in candidates_of(events) if event.bytes <= limit),
        key=judged,
    )
    assert chosen.bytes == len(content)
    for name, choice in chosen.layers.items():
        item = packed.tensors[name]
        assert not isinstance(item, Tensor)
        assert choice.keys() == ({"bits"} if isinstance(item, Affine) else {"clusters"})
    last = [event for event in events if isinstance(event, Quantized)][-1]
    assert last.layers.keys() == {CONV, HEAD}


def test_the_accuracies_are_those_of_half_b(parent, digits, search_once):
    job, events = search_once(bytes=1600)
    summary = summary_of(events)
    rows = half_b(digits)
    assert summary.test_half == "B"
    assert summary.test_images == len(rows) == 180
    state = job.result()["model"]
    assert summary.test_accuracy == pytest.approx(accuracy_on(state, rows, parent, digits))
    assert summary.parent_accuracy == pytest.approx(accuracy_on(parent.state, rows, parent, digits))
    assert "half B" in str(events[-1])
    half_a = sorted(set(range(360)) - set(rows))
    assert summary.half_a_accuracy == pytest.approx(accuracy_on(state, half_a, parent, digits))


def test_pruned_weights_stay_exactly_zero(network, digits):
    saved = as_saved(network, digits)
    masks = {}
    for name in (CONV, HEAD):
        weight = saved.state[name]
        masks[name] = weight.abs() > weight.abs().median()
        weight[~masks[name]] = 0.0
    job, _ = budgeted(saved, digits, bytes=1600, kinds=("share", "round"), tuning_epochs=1)
    state = job.result()["model"]
    for name, mask in masks.items():
        assert is_positive_zero(state[name][~mask])


def test_a_limit_below_the_smallest_file_names_it_and_the_smallest_one_works(parent, digits):
    with pytest.raises(
        UserError, match=r"a file of 100 bytes: the smallest has [\d,]+ bytes"
    ) as error:
        budgeted(parent, digits, bytes=100)
    smallest = int(str(error.value).split("smallest has ")[1].split()[0].replace(",", ""))
    with pytest.raises(UserError, match="the smallest has"):
        budgeted(parent, digits, bytes=int(0.98 * smallest))
    job, _ = budgeted(parent, digits, bytes=smallest)
    assert len(job.files()[PACKED]) <= smallest


# -- again, and resumed --


def through_a_file(checkpoint):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


STOPS = {
    "Measuring each layer": 8,
    "Moving bytes between layers": 1,
    "Tuning, epoch 2 of 2": 0,
}
"""Where a search is stopped: so many events after the first Progress of a stage."""


def test_a_stopped_search_comes_to_the_same_end(parent, digits):
    """The same seed gives the same choice, also if it is stopped in the middle of each part."""
    recipe = BudgetRecipe(**{**COUNTED, "bytes": 1600, "tuning_epochs": 2, "batch_size": 512})
    job = BudgetJob(recipe, parent, digits)
    events = []
    stops: dict[str, int] = {}
    checkpoints = []
    for place, event in enumerate(job.events()):
        events.append(event)
        if isinstance(event, Progress) and event.stage in STOPS:
            stops.setdefault(event.stage, place + STOPS[event.stage])
        if place in stops.values():
            checkpoints.append(through_a_file(job.checkpoint()))
    assert len(checkpoints) == len(STOPS)
    for checkpoint in checkpoints:
        resumed = BudgetJob(recipe, parent, digits, checkpoint)
        rest = list(resumed.events())
        assert resumed.files() == job.files()
        assert_same(resumed.result(), job.result())
        made = [event.bytes for event in candidates_of(events)]
        again = [event.bytes for event in candidates_of(rest)]
        assert made[len(made) - len(again) :] == again


def run_until(job, is_last):
    """Run the job up to an event, and return its checkpoint there."""
    next(event for event in job.events() if is_last(event))
    return through_a_file(job.checkpoint())


def test_a_run_that_is_stopped_again_and_again_keeps_its_tuning(parent, digits):
    recipe = BudgetRecipe(**{**COUNTED, "bytes": 1600, "tuning_epochs": 2, "batch_size": 512})
    first = run_until(
        BudgetJob(recipe, parent, digits),
        lambda event: isinstance(event, Progress) and event.stage == "Tuning, epoch 2 of 2",
    )
    second = run_until(BudgetJob(recipe, parent, digits, first), lambda _: True)
    assert second["tuning"]["key"] == first["tuning"]["key"]
    assert second["tuning"]["tuning"]["position"] == first["tuning"]["tuning"]["position"]
    third = run_until(
        BudgetJob(recipe, parent, digits, second),
        lambda event: isinstance(event, Candidate) and event.epochs == 2,
    )
    summary = summary_of(list(BudgetJob(recipe, parent, digits, third).events()))
    images = summary.images_per_second * summary.train_seconds
    assert 1437 < images <= 2 * 1437  # of two epochs, whose images are not all of the data set's


def test_a_cancelled_search_keeps_the_best_so_far(parent, digits):
    job = BudgetJob(BudgetRecipe(**COUNTED, bytes=1600), parent, digits)
    assert job.checkpoint() is None
    assert job.result() == {}
    made = []
    for event in job.events():
        if isinstance(event, Candidate) and event.bytes <= 1600:
            made.append(event)
        if len(made) == 2:
            break
    best = min(made, key=judged)
    assert len(job.files()[PACKED]) == best.bytes


# -- accuracy --


def test_a_limit_of_accuracy_is_kept_on_half_a(parent, digits, search_once):
    job, events = search_once(lose=4.0, tuning_epochs=1, batch_size=512)
    summary = summary_of(events)
    rows_b = set(half_b(digits))
    rows_a = [row for row in range(360) if row not in rows_b]
    before = accuracy_on(parent.state, rows_a, parent, digits)
    after = accuracy_on(job.result()["model"], rows_a, parent, digits)
    assert before > 0.8
    assert 100 * (before - after) <= 4.0 + 1e-4
    kept = [event.bytes for event in candidates_of(events) if event.most_lost <= 4.0]
    assert summary.packed_bytes == min(kept)
    assert summary.packed_bytes < summary.float_bytes / 5
    note = next(event.text for event in events if "smallest file that was tried" in str(event))
    assert "95% interval" in note
    assert not [event for event in events if isinstance(event, Note) and event.level == "warning"]


def test_tuned_sizes_compete_for_a_limit_of_accuracy(search_once):
    _, events = search_once(lose=4.0, tuning_epochs=1, batch_size=512)
    tried = candidates_of(events)
    untuned = min(event.bytes for event in tried if event.most_lost <= 4.0 and not event.epochs)
    assert any(event.epochs for event in tried)
    kept = min(event.bytes for event in tried if event.most_lost <= 4.0)
    assert summary_of(events).packed_bytes == kept <= untuned


def test_a_cancelled_search_for_a_loss_keeps_the_smallest_that_keeps_the_limit(parent, digits):
    job = BudgetJob(BudgetRecipe(**COUNTED, lose=4.0), parent, digits)
    kept = []
    for event in job.events():
        if isinstance(event, Candidate) and event.most_lost is not None and event.most_lost <= 4.0:
            kept.append(event.bytes)
        if len(kept) == 2:
            break
    assert len(job.files()[PACKED]) == min(kept)


def test_a_limit_that_no_size_keeps_ends_with_the_nearest_and_a_warning(network, digits):
    """All classes have a large common part that decides nothing, and takes up all levels."""
    saved = as_saved(network, digits)
    common = torch.randn(saved.state[HEAD].shape[1], generator=torch.Generator().manual_seed(1))
    saved.state[HEAD] += 30 * saved.state[HEAD].abs().max() * common
    _, events = budgeted(saved, digits, lose=0.5)
    warnings = [event for event in events if isinstance(event, Note) and event.level == "warning"]
    few, missed = (warning.text for warning in warnings)
    assert "So few cannot show that less than 1.08 points are lost" in few
    assert "No size that was tried surely keeps the limit of 0.5 points" in missed
    least = min(event.most_lost for event in candidates_of(events))
    assert f"{least - 0.5:.2f} points too high" in missed
    assert summary_of(events).test_accuracy < summary_of(events).parent_accuracy


# -- more work, pruning, and a choice that is given --


def test_more_work_is_never_worse(search_once):
    """Judged as the search judges, on the same images; one number for all layers is included."""
    least = []
    for changes in ({"trials": 0}, {}, {"tuning_epochs": 1}):
        job, events = search_once(bytes=1600, **changes)
        within = [event for event in candidates_of(events) if event.bytes <= 1600]
        assert any(event.layers[CONV] == event.layers[HEAD] for event in within)
        chosen = min(within, key=judged)
        assert chosen.bytes == len(job.files()[PACKED])
        least.append(judged(chosen))
    assert least == sorted(least, reverse=True)


def test_layers_that_are_pruned_hold_their_density(parent, digits):
    """So small a file is out of reach without pruning."""
    limit = smallest_limit(BudgetRecipe(**COUNTED, bytes=1), parent) - 50
    with pytest.raises(UserError, match="the smallest has"):
        budgeted(parent, digits, bytes=limit)
    kinds = ("share", "prune")
    job, events = budgeted(parent, digits, bytes=limit, kinds=kinds, tuning_epochs=1)
    size = len(job.files()[PACKED])
    assert size <= limit
    chosen = next(event for event in candidates_of(events) if event.bytes == size)
    densities = {name: choice.get("density", 1.0) for name, choice in chosen.layers.items()}
    assert min(densities.values()) < 1
    for name, density in densities.items():
        weight = job.result()["model"][name]
        assert int((weight != 0).sum()) == round(density * weight.numel())


def test_a_choice_is_made_as_it_is_given(parent, digits):
    layers = {CONV: {"bits": 4}, HEAD: {"clusters": 3, "density": 0.5}}
    recipe = BudgetRecipe(layers=layers, images=64, tuning_epochs=0, device="cpu")
    job = BudgetJob(recipe, parent, digits)
    events = list(job.events())
    assert not [event for event in events if str(event).startswith("Measur")]
    packed = codec.unpack(job.files()[PACKED]).tensors
    conv = packed[CONV]
    head = packed[HEAD]
    assert isinstance(conv, Affine)
    assert conv.bits == 4
    assert isinstance(head, Codebook)
    assert len(head.centroids) == 3
    assert int((head.decode() != 0).sum()) == head.indices.numel() // 2
    assert all(event.layers == layers for event in candidates_of(events))
    assert summary_of(events).test_half == "B"


def test_layers_that_a_choice_leaves_out_stay_in_float(parent, digits):
    recipe = BudgetRecipe(layers={HEAD: {"clusters": 9}}, images=64, tuning_epochs=0, device="cpu")
    job = BudgetJob(recipe, parent, digits)
    list(job.events())
    assert isinstance(codec.unpack(job.files()[PACKED]).tensors[CONV], Tensor)


def test_a_choice_for_a_layer_that_is_not_there(parent, digits):
    recipe = BudgetRecipe(layers={"7.weight": {"bits": 4}}, device="cpu")
    with pytest.raises(UserError, match=r"7\.weight is not a weight"):
        list(BudgetJob(recipe, parent, digits).events())


# -- the images that judge --


def test_blends_mix_each_image_with_its_mirror_place_in_the_batch():
    batch = torch.arange(4.0).view(4, 1, 1, 1).expand(4, 3, 2, 2)
    (blends,) = blend([batch], seed=3)
    assert blends.shape == batch.shape
    for index, image in enumerate(blends):
        assert image.unique().numel() == 1  # one weight for all pixels
        assert min(index, 3 - index) <= float(image[0, 0, 0]) <= max(index, 3 - index)
    assert torch.equal(blend([batch], seed=3)[0], blends)
    assert not torch.equal(blend([batch], seed=4)[0], blends)


def test_an_image_alone_stays_as_it_is():
    alone = torch.rand(1, 3, 2, 2)
    assert torch.allclose(blend([alone], seed=0)[0], alone)
