"""Quantizing as a job: codebooks by hand, tuning against a textbook's loop, file against model."""

import io
import json
import math
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.func import functional_call

from core import data
from core.compress import codec
from core.compress.affine import Affine, QuantizedWeight, quantize
from core.compress.kmeans import Codebook, share_weights
from core.compress.recalibrate import batchnorm_
from core.compress.rounding.network import round_network
from core.config import AffineRecipe, KMeansRecipe, TrainRecipe
from core.data.batches import DeviceImages, epoch_plan
from core.data.imageset import ImageSet, hold_back, subset_rows
from core.errors import UserError
from core.events import EpochEnd, Finished, Note, Progress, Quantized
from core.jobs import compression_images, round_weights
from core.jobs.quantize import QuantizeJob, quantized_layer
from core.jobs.train import TrainJob
from core.models import saved
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs import launch, worker
from core.runs.run import PACKED
from core.runs.worker import work
from core.training import distill as tune
from core.training import evaluate as evaluation
from core.training import held_back as holding_back
from core.training import setup
from core.training.distill import Tuning, divergence
from core.training.evaluate import evaluate
from tests import eager_worker
from tests.core.jobs.test_train import assert_same, is_positive_zero, summary_of

MEAN, STD = (0.3, 0.4, 0.5), (0.5, 0.6, 0.7)  # not those of Digits: a network brings its own
CONV, HEAD = "0.weight", "5.weight"  # of the toy
CHANNELS = 8  # with fewer, tuning hardly makes a bad start better
TUNED = {"clusters": 4, "epochs": 2, "batch_size": 16, "train_images": 40, "device": "cpu"}
# Bad before tuning, so that tuning makes it better.
BAD_START = TUNED | {"clusters": 2, "rounding": "nearest", "recalibrate": False}


@pytest.fixture(autouse=True)
def _toy(monkeypatch):
    """Every network is small, has BatchNorm and dropout, and is re-estimated on few images."""
    monkeypatch.setattr(
        "core.models.build", lambda name, classes: eager_worker.network(classes, CHANNELS)
    )
    monkeypatch.setattr(
        setup, "build", lambda name, classes: eager_worker.network(classes, CHANNELS)
    )
    monkeypatch.setattr(compression_images, "CALIBRATION_IMAGES", 50)


def network(pruned=False):
    torch.manual_seed(0)
    model = eager_worker.network(10, CHANNELS)
    for name in (CONV, HEAD) if pruned else ():
        weight = model.get_parameter(name).data
        weight[weight.abs() < weight.abs().median()] = 0
    return model.eval()


def as_saved(model, digits):
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=data.load("Digits", digits).classes,
        mean=MEAN,
        std=STD,
        side=32,
        recipes=({"kind": "train"},),
    )
    return SavedModel(card, {name: tensor.clone() for name, tensor in model.state_dict().items()})


@pytest.fixture
def parent(digits):
    return as_saved(network(), digits)


@pytest.fixture
def pruned(digits):
    return as_saved(network(pruned=True), digits)


def quantized(recipe, parent, root, packed=None):
    job = QuantizeJob(recipe, parent, packed, root)
    return job, list(job.events())


def kmeans(**changes):
    return KMeansRecipe(**{"device": "cpu", **changes})


def held_out(digits):
    return DeviceImages(data.load("Digits", digits).test, MEAN, STD, "cpu")


# -- without tuning --


def test_two_clusters_by_hand(digits):
    """The nonzero values 1, 2, 10, 11 and 12 occur equally often: they share 1.5 and 11."""
    model = network()
    for name in (CONV, HEAD):
        weight = model.get_parameter(name).data
        weight.copy_(
            torch.tensor([0.0, 1, 2, 10, 11, 12])
            .repeat(weight.numel() // 6 + 1)[: weight.numel()]
            .view_as(weight)
        )
    before = as_saved(model, digits)
    job, events = quantized(
        kmeans(clusters=2, layers={CONV: 5}, rounding="nearest"), before, digits
    )
    state, weights = job.result()["model"], before.state[HEAD]
    expected = torch.where(weights > 5, 11.0, 1.5).masked_fill(weights == 0, 0)
    count = {value: int((weights == value).sum()) for value in (1, 2, 10, 11, 12)}
    low, high = (
        (1 * count[1] + 2 * count[2]) / (count[1] + count[2]),
        (10 * count[10] + 11 * count[11] + 12 * count[12]) / (count[10] + count[11] + count[12]),
    )
    assert state[HEAD].unique().tolist() == pytest.approx([0, low, high])
    torch.testing.assert_close(state[HEAD], expected, rtol=0.01, atol=0)
    assert torch.equal(state[CONV], before.state[CONV])
    layers = next(event for event in events if isinstance(event, Quantized)).layers
    assert (layers[CONV]["levels"], layers[CONV]["snr"], layers[HEAD]["levels"]) == (5, None, 2)


def test_the_figures_of_a_layer_by_hand():
    """Of 0, 1, 1, 4, 6 the last two share 5: the noise is 2 of 54."""
    weight = torch.tensor([0.0, 1, 1, 4, 6])
    found = quantized_layer(weight, share_weights(weight, 2))
    assert found == {
        "weights": 5,
        "levels": 2,
        "bits": 2,
        "snr": pytest.approx(10 * math.log10(54 / 2)),
        "pinned_zeros": 1,
        # The entropy of mask and indices, two centroids, and two tables of two symbols.
        "bytes": round((5 * -(0.8 * math.log2(0.8) + 0.2 * math.log2(0.2)) + 4) / 8 + 8 + 4),
    }
    assert quantized_layer(weight, share_weights(weight, 8))["snr"] is None
    assert quantized_layer(weight, quantize(weight, 3)) | {"snr": 0, "bytes": 0} == {
        "weights": 5,
        "levels": 4,
        "bits": 3,
        "snr": 0,
        "pinned_zeros": 0,
        "bytes": 0,
    }


def test_the_network_is_tested_in_its_own_normalisation(parent, digits):
    _, events = quantized(kmeans(clusters=256), parent, digits)
    expected = evaluate(parent.network(), held_out(digits))[1]
    dataset = data.load("Digits", digits)
    assert events[-1].summary.parent_accuracy == expected
    assert (
        expected
        != evaluate(parent.network(), DeviceImages(dataset.test, dataset.mean, dataset.std, "cpu"))[
            1
        ]
    )


RECIPES = [
    kmeans(),
    kmeans(clusters=2, keep_zeros=False, batchnorm=True),
    kmeans(rest="float16", recalibrate=False),
    kmeans(**TUNED, rest="float16"),
    kmeans(**TUNED, batchnorm=True, layers={HEAD: 0}, init="k-means++"),
    AffineRecipe(device="cpu"),
    AffineRecipe(
        device="cpu",
        bits=3,
        per_channel=False,
        symmetric=True,
        range="mse",
        rest="float16",
        batchnorm=True,
        recalibrate=True,
    ),
    AffineRecipe(device="cpu", layers={CONV: 0, HEAD: 2}),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_file_holds_the_model_and_its_accuracy_bit_for_bit(pruned, digits, recipe):
    job, events = quantized(recipe, pruned, digits)
    content, state = job.files()[PACKED], job.result()["model"]
    packed = codec.unpack(content)
    assert_same({"model": packed.state()}, {"model": state})
    assert list(state) == list(pruned.state)
    summary = events[-1].summary
    network = SavedModel(job.card(), state).network()
    assert summary.test_accuracy == evaluate(network, held_out(digits))[1]
    assert summary.packed_bytes == len(content)
    assert summary.float_bytes == sum(tensor.nbytes for tensor in state.values())
    assert (packed.card.model, packed.card.mean, packed.card.std, packed.card.side) == (
        "LeNet5",
        MEAN,
        STD,
        32,
    )
    assert (
        packed.card.recipes
        == job.card().recipes
        == ({"kind": "train"}, recipe.model_dump(mode="json"))
    )


@pytest.mark.parametrize(
    "recipe", [recipe for recipe in RECIPES if getattr(recipe, "keep_zeros", True)], ids=str
)
def test_pruned_weights_stay_exactly_zero(pruned, digits, recipe):
    job, events = quantized(recipe, pruned, digits)
    for name in (CONV, HEAD):
        assert is_positive_zero(job.result()["model"][name][pruned.state[name] == 0])
    summary = events[-1].summary
    total = sum(pruned.state[name].numel() for name in (CONV, HEAD))
    kept = sum(int((pruned.state[name] != 0).sum()) for name in (CONV, HEAD))
    assert (summary.kept, summary.prunable, summary.density) == (kept, total, kept / total)


def test_a_layer_may_be_left_as_it_is(pruned, digits):
    job, events = quantized(kmeans(**TUNED, layers={CONV: 0, HEAD: 7}), pruned, digits)
    state = job.result()["model"]
    assert torch.equal(state[CONV], pruned.state[CONV])
    assert len(state[HEAD].unique()) <= 8
    assert not torch.equal(state[HEAD], share_weights(pruned.state[HEAD], 7).decode())
    assert next(event for event in events if isinstance(event, Quantized)).layers.keys() == {HEAD}


def test_something_must_be_quantized(parent, digits):
    with pytest.raises(
        UserError, match=r"^Every layer is left out: there is nothing to quantize\.$"
    ):
        quantized(kmeans(**TUNED, layers={CONV: 0, HEAD: 0}), parent, digits)


def test_eight_bits_on_top_of_clusters_round_the_centroids(pruned, digits):
    first, _ = quantized(kmeans(clusters=6), pruned, digits)
    shared = SavedModel(first.card(), first.result()["model"])
    packed = codec.unpack(first.files()[PACKED])
    job, events = quantized(
        AffineRecipe(device="cpu", bits=4, layers={CONV: 0}), shared, digits, packed
    )
    then = codec.unpack(job.files()[PACKED])
    before = packed.tensors[HEAD]
    after = then.tensors[HEAD]
    assert isinstance(before, Codebook)
    assert isinstance(after, Codebook)
    assert torch.equal(before.indices, after.indices)
    assert torch.equal(after.centroids, quantize(before.centroids, 4).decode())
    # The layer that is left out is still shared.
    assert isinstance(then.tensors[CONV], Codebook)
    assert torch.equal(then.state()[CONV], packed.state()[CONV])
    assert [recipe["kind"] for recipe in then.card.recipes] == ["train", "kmeans", "affine"]
    assert events[-1].summary.parent_accuracy == evaluate(shared.network(), held_out(digits))[1]


def test_a_layer_of_an_8_bit_network_keeps_its_scale(parent, digits):
    first, _ = quantized(AffineRecipe(device="cpu"), parent, digits)
    packed = codec.unpack(first.files()[PACKED])
    rounded = SavedModel(first.card(), first.result()["model"])
    job, _ = quantized(kmeans(layers={CONV: 0}), rounded, digits, packed)
    before = packed.tensors[CONV]
    after = codec.unpack(job.files()[PACKED]).tensors[CONV]
    assert isinstance(before, Affine)
    assert isinstance(after, Affine)
    assert torch.equal(after.values, before.values)
    assert torch.equal(after.scale, before.scale)


def test_batchnorm_is_re_estimated_only_where_asked(parent, digits):
    kept, _ = quantized(kmeans(recalibrate=False, rounding="nearest"), parent, digits)
    estimated, _ = quantized(kmeans(recalibrate=True, rounding="nearest"), parent, digits)
    assert torch.equal(kept.result()["model"]["1.running_mean"], parent.state["1.running_mean"])
    dataset = data.load("Digits", digits)
    images, _ = DeviceImages(data.subset(dataset.train, 50, 0), MEAN, STD, "cpu").batch(
        slice(0, 50)
    )
    maps = F.conv2d(images, share_weights(parent.state[CONV], 5).decode(), stride=4)
    torch.testing.assert_close(estimated.result()["model"]["1.running_mean"], maps.mean((0, 2, 3)))
    torch.testing.assert_close(
        estimated.result()["model"]["1.running_var"], maps.transpose(0, 1).flatten(1).var(1)
    )


@pytest.mark.parametrize("said", [None, False, True])
def test_batchnorm_is_re_estimated_on_images_as_the_training_saw_them(parent, digits, said):
    """As the training's recipe says, or else the data set: Digits are not cropped and flipped."""
    card = parent.card.model_copy(
        update={"recipes": ({"kind": "train", "augment": said}, {"kind": "affine"})}
    )
    recipe = kmeans(recalibrate=True, rounding="nearest")
    job, _ = quantized(recipe, SavedModel(card, parent.state), digits)
    images = DeviceImages(data.subset(data.load("Digits", digits).train, 50, 0), MEAN, STD, "cpu")
    order, augmentation = epoch_plan(50, 0, 0, bool(said))
    maps = F.conv2d(
        images.batch(order, augmentation)[0],
        share_weights(parent.state[CONV], 5).decode(),
        stride=4,
    )
    torch.testing.assert_close(job.result()["model"]["1.running_mean"], maps.mean((0, 2, 3)))


def test_testing_counts_the_images(parent, digits, monkeypatch):
    monkeypatch.setattr(evaluation, "TEST_BATCH", 100)
    _, events = quantized(kmeans(recalibrate=False), parent, digits)
    counts = [
        (event.done, event.total)
        for event in events
        if isinstance(event, Progress) and event.unit == "images"
    ]
    assert counts == [(done, 360) for done in (100, 200, 300, 360)] * 2


def test_what_it_says_on_the_way(parent, digits):
    _, events = quantized(kmeans(**TUNED), parent, digits)
    kinds = [type(event) for event in events if not isinstance(event, Progress)]
    assert kinds == [
        *(Note, Note, Quantized, Note, EpochEnd, EpochEnd),
        *(Note, Quantized, Note, Finished),
    ]
    stages = list(dict.fromkeys(event.stage for event in events if isinstance(event, Progress)))
    assert stages == [
        "Testing the network before quantization",
        "Sharing weights",
        "Compensated rounding",
        "Re-estimating BatchNorm",
        "Testing the quantized network",
        "Tuning, epoch 1 of 2",
        "Tuning, epoch 2 of 2",
    ]
    assert all(
        0 <= event.done <= event.total or not event.total
        for event in events
        if isinstance(event, Progress)
    )


# -- compensated rounding --


@pytest.mark.parametrize("validation", [0, 200])
@pytest.mark.parametrize("recipe", [AffineRecipe, KMeansRecipe])
def test_it_rounds_on_training_images_that_are_not_held_back(
    parent, digits, validation, recipe, monkeypatch
):
    """They are the images as they are, in the network's own normalisation."""
    card = parent.card.model_copy(
        update={"recipes": ({"kind": "train", "validation": validation, "seed": 7},)}
    )
    seen = []

    def spy(network, nearest, names, batches):
        seen.extend(batches)
        return round_network(network, nearest, names, batches)

    monkeypatch.setattr(round_weights, "round_network", spy)
    quantized(
        recipe(device="cpu", round_images=300, seed=3), SavedModel(card, parent.state), digits
    )
    train = data.load("Digits", digits).train
    rows, held_back = hold_back(train.labels, validation, 7)
    chosen = data.subset(ImageSet(train.images[rows], train.labels[rows]), 300, 3)
    expected, _ = DeviceImages(chosen, MEAN, STD, "cpu").batch(slice(0, 300))
    assert [len(batch) for batch in seen] == [128, 128, 44]
    assert torch.equal(torch.cat(seen), expected)
    assert len(held_back) == validation


@pytest.mark.parametrize("recipe", [kmeans(), AffineRecipe(device="cpu", bits=3)], ids=str)
def test_compensated_figures_are_in_the_event_and_the_note(pruned, digits, recipe):
    _, events = quantized(recipe, pruned, digits)
    layers = next(event for event in events if isinstance(event, Quantized)).layers
    for name in (CONV, HEAD):
        assert 0 < layers[name]["output_error"] < layers[name]["nearest_error"]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any("Compensated rounding on 1,024 training images" in note for note in notes)
    _, events = quantized(recipe.model_copy(update={"rounding": "nearest"}), pruned, digits)
    layers = next(event for event in events if isinstance(event, Quantized)).layers
    assert not any("output_error" in layers[name] for name in layers)


def test_bits_on_top_of_clusters_round_centroids_to_the_nearest_level(pruned, digits):
    """The other layers are still rounded with compensation."""
    first, _ = quantized(kmeans(layers={CONV: 0}), pruned, digits)
    shared = SavedModel(first.card(), first.result()["model"])
    packed = codec.unpack(first.files()[PACKED])
    job, events = quantized(AffineRecipe(device="cpu", bits=4), shared, digits, packed)
    after = codec.unpack(job.files()[PACKED]).tensors
    before = packed.tensors[HEAD]
    assert isinstance(before, Codebook)
    head = after[HEAD]
    assert isinstance(head, Codebook)
    assert torch.equal(head.centroids, quantize(before.centroids, 4).decode())
    assert torch.equal(head.indices, before.indices)
    nearest = quantize(shared.state[CONV], 4, 0)
    conv = after[CONV]
    assert isinstance(conv, Affine)
    assert torch.equal(conv.scale, nearest.scale)
    assert not torch.equal(conv.values, nearest.values)
    layers = next(event for event in events if isinstance(event, Quantized)).layers
    assert "output_error" in layers[CONV]
    assert "output_error" not in layers[HEAD]


# -- BatchNorm's statistics --


def calibrated(parent, digits):
    """The parent with the statistics of the training images, which belong to its weights."""
    model = parent.network()
    train = data.load("Digits", digits).train
    images = DeviceImages(train, MEAN, STD, "cpu")
    batchnorm_(model, [images.batch(slice(0, len(train)))[0]])
    return as_saved(model, digits)


@pytest.mark.parametrize("validation", [0, 200])
@pytest.mark.parametrize("clusters", [2, 3, 256])
def test_auto_takes_the_blend_of_least_divergence(parent, digits, validation, clusters):
    """Measured again on the held-back images, or else on those that have no other use."""
    parent = calibrated(parent, digits)
    recipes = ({"kind": "train", "validation": validation, "seed": 7},)
    parent = SavedModel(parent.card.model_copy(update={"recipes": recipes}), parent.state)
    found = {}
    for recalibrate in (False, True, "auto"):
        recipe = kmeans(
            clusters=clusters, rounding="nearest", round_images=100, recalibrate=recalibrate
        )
        job, events = quantized(recipe, parent, digits)
        found[recalibrate] = job.result()["model"]
    train = data.load("Digits", digits).train
    rows, held_back = hold_back(train.labels, validation, 7)
    if not validation:
        calibrating = set(subset_rows(train.labels[rows], 100, 0).tolist())
        rows = np.array([row for row in range(len(train)) if row not in calibrating])
        held_back = rows[subset_rows(train.labels[rows], 1000, 0)]
    images, _ = DeviceImages(
        ImageSet(train.images[held_back], train.labels[held_back]), MEAN, STD, "cpu"
    ).batch(slice(0, len(held_back)))
    divergences = {}
    blends = {}
    for share in (0.0, 0.25, 0.5, 0.75, 1.0):
        blends[share] = {
            name: torch.lerp(tensor, found[True][name], share) if "running" in name else tensor
            for name, tensor in found[False].items()
        }
        with torch.inference_mode():
            before = parent.network()(images).double().log_softmax(1)
            after = SavedModel(parent.card, blends[share]).network()(images).double()
        terms = before.exp() * (before - after.log_softmax(1))
        divergences[share] = float(terms.sum(1).mean())
    best = min(divergences, key=lambda share: divergences[share])
    assert_same({"model": found["auto"]}, {"model": blends[best]})
    assert divergences[best] <= divergences[0.0]
    note = [event.text for event in events if isinstance(event, Note)][-1]
    assert f"{divergences[0.0]:.4f}" in note
    if clusters == 256:
        assert best == 0
        assert note.startswith("BatchNorm keeps its statistics")
    if clusters == 2:
        assert best > 0
        assert note.startswith("BatchNorm takes")
        assert f"{divergences[best]:.4f}" in note


# -- the start of the clustering --


@pytest.mark.parametrize("rounding", ["nearest", "compensated"])
def test_auto_takes_the_start_whose_network_is_closest(pruned, digits, rounding):
    """Measured again on training images that neither rounding nor calibration uses."""
    found = {}
    for init in ("linear", "fisher", "auto"):
        recipe = kmeans(clusters=3, init=init, rounding=rounding, round_images=100, seed=2)
        recipe = recipe.model_copy(update={"recalibrate": False})
        job, events = quantized(recipe, pruned, digits)
        found[init] = job.result()["model"]
    train = data.load("Digits", digits).train
    used = set(subset_rows(train.labels, 100, 2).tolist())
    rows = np.array([row for row in range(len(train)) if row not in used])
    rows = rows[subset_rows(train.labels[rows], 1000, 2)]
    images, _ = DeviceImages(
        ImageSet(train.images[rows], train.labels[rows]), MEAN, STD, "cpu"
    ).batch(slice(0, len(rows)))
    divergences = {}
    with torch.inference_mode():
        before = pruned.network()(images).double().log_softmax(1)
        for init in ("linear", "fisher"):
            after = SavedModel(pruned.card, found[init]).network()(images).double().log_softmax(1)
            divergences[init] = float((before.exp() * (before - after)).sum(1).mean())
    best = min(divergences, key=lambda init: divergences[init])
    assert not torch.equal(found["linear"][CONV], found["fisher"][CONV])
    assert_same({"model": found["auto"]}, {"model": found[best]})
    (note,) = [
        event.text
        for event in events
        if isinstance(event, Note) and event.text.startswith("The clustering starts from")
    ]
    assert f"“{best}”" in note
    for init, value in divergences.items():
        assert f"{init} {value:.4f}" in note


def test_resume_with_a_start_that_needs_images(pruned, digits):
    recipe = kmeans(**TUNED, init="auto")
    whole, _ = quantized(recipe, pruned, digits)
    job = QuantizeJob(recipe, pruned, None, digits)
    for event in job.events():
        if isinstance(event, Progress) and event.stage.startswith("Tuning"):
            break
    resumed = QuantizeJob(recipe, pruned, None, digits, through_a_file(job.checkpoint()))
    list(resumed.events())
    assert_same(whole.result(), resumed.result())
    assert whole.files() == resumed.files()


# -- what cannot be quantized --


@pytest.mark.parametrize("kind", [KMeansRecipe, AffineRecipe])
@pytest.mark.parametrize("name", ["9.weight", "0.bias", "1.weight"])
def test_a_name_that_is_no_layer(parent, digits, kind, name):
    with pytest.raises(
        UserError,
        match=f"^{name} is not a weight that can be quantized; known are 0.weight, 5.weight",
    ):
        quantized(kind(device="cpu", layers={name: 4}), parent, digits)


@pytest.mark.parametrize("recipe", [kmeans(), kmeans(**TUNED), AffineRecipe(device="cpu")], ids=str)
def test_a_layer_that_holds_no_numbers_is_named(digits, recipe):
    model = network()
    model.get_parameter(HEAD).data[0, 0] = math.nan
    with pytest.raises(UserError, match=f"^{HEAD} holds NaN"):
        quantized(recipe, as_saved(model, digits), digits)


@pytest.mark.parametrize("value", [0.0, 0.25])
@pytest.mark.parametrize("recipe", [kmeans(), kmeans(**TUNED), AffineRecipe(device="cpu")], ids=str)
def test_a_layer_of_one_value(digits, recipe, value):
    model = network()
    model.get_parameter(CONV).data.fill_(value)
    job, _ = quantized(recipe, as_saved(model, digits), digits)
    if not recipe.epochs:
        torch.testing.assert_close(
            job.result()["model"][CONV], torch.full_like(model.get_parameter(CONV), value)
        )
    if value == 0:
        assert is_positive_zero(job.result()["model"][CONV])


def test_a_data_set_with_other_classes(parent, digits):
    card = parent.card.model_copy(update={"classes": ("cat", "dog")})
    with pytest.raises(UserError, match=r"^The data set Digits has other classes"):
        quantized(kmeans(), SavedModel(card, parent.state), digits)


def test_a_loss_that_is_no_number_ends_in_a_sentence(parent, digits, monkeypatch):
    monkeypatch.setattr(tune, "divergence", lambda logits, target: logits.sum() * math.inf)
    with pytest.raises(
        UserError,
        match=r"^Tuning, epoch 1 of 2: the loss is NaN or infinite\. Lower the learning rate",
    ):
        quantized(kmeans(**TUNED), parent, digits)


# -- tuning --


def test_the_divergence_by_hand():
    """At temperature 2, logits (4, 0) give p = e^2 / (1 + e^2) and (0, 0) one half: 4 KL."""
    p = math.exp(2) / (1 + math.exp(2))
    expected = 4 * (0.5 * math.log(0.5 / p) + 0.5 * math.log(0.5 / (1 - p)))
    assert divergence(
        torch.tensor([[4.0, 0.0]]), torch.tensor([[0.0, 0.0]])
    ).item() == pytest.approx(expected)
    assert divergence(
        torch.tensor([[4.0, 0.0]]), torch.tensor([[5.0, 1.0]])
    ).item() == pytest.approx(0, abs=1e-7)


def textbook(recipe, parent, root):
    """The same tuning by definition, with autograd through the nearest centroids."""
    dataset = data.load("Digits", root)
    rows, _ = hold_back(dataset.train.labels, 143, recipe.seed)
    rest = ImageSet(dataset.train.images[rows], dataset.train.labels[rows])
    images = DeviceImages(data.subset(rest, recipe.train_images, recipe.seed), MEAN, STD, "cpu")
    teacher, pupil = parent.network(), parent.network()
    pupil[1].train()
    books = {
        name: share_weights(parent.state[name], recipe.clusters).centroids for name in (CONV, HEAD)
    }
    pinned = {name: parent.state[name] == 0 for name in books}
    latent = dict(pupil.named_parameters())
    velocity: dict[str, torch.Tensor] = {}

    def nearest(name):
        return (latent[name].detach()[..., None] - books[name]).abs().argmin(-1)

    def weight(name):
        shared = books[name][nearest(name)].masked_fill(pinned[name], 0)
        return latent[name].masked_fill(pinned[name], 0) + (
            shared - latent[name]
        ).detach().masked_fill(pinned[name], 0)

    order, _ = epoch_plan(len(images), recipe.seed, 0, False)
    batches = order.split(recipe.batch_size)
    for step, indices in enumerate(batches):
        x, _ = images.batch(indices)
        with torch.no_grad():
            target = (teacher(x) / 2).softmax(1)
        logits = functional_call(
            pupil, {name: weight(name) if name in books else latent[name] for name in latent}, x
        )
        loss = 4 * (target * (target.log() - (logits / 2).log_softmax(1))).sum(1).mean()
        gradients = torch.autograd.grad(loss, list(latent.values()))
        rate = recipe.lr * (1 + math.cos(math.pi * step / len(batches))) / 2
        with torch.no_grad():
            for (name, parameter), gradient in zip(latent.items(), gradients, strict=True):
                velocity[name] = 0.9 * velocity[name] + gradient if step else gradient
                parameter -= rate * (gradient + 0.9 * velocity[name])
        for name in books:
            places = nearest(name).masked_fill(pinned[name], -1)
            books[name] = torch.stack(
                [
                    latent[name].detach()[places == index].double().mean().float()
                    for index in range(len(books[name]))
                ]
            )
    return {
        name: weight(name).detach() if name in books else latent[name].detach() for name in latent
    }


def test_it_is_the_tuning_of_the_textbook(pruned, digits):
    recipe = kmeans(**TUNED | {"epochs": 1}, lr=0.05, rounding="nearest", recalibrate=True)
    job, events = quantized(recipe, pruned, digits)
    for name, tensor in textbook(recipe, pruned, digits).items():
        torch.testing.assert_close(job.result()["model"][name], tensor, rtol=1e-3, atol=1e-5)
        if name not in ("0.bias",):
            assert not torch.equal(tensor, pruned.state[name]), name
    end = next(event for event in events if isinstance(event, EpochEnd))
    assert end.lr == pytest.approx(0.05 * (1 + math.cos(math.pi * 2 / 3)) / 2)


def test_zeros_and_levels_hold_after_every_step(pruned, digits):
    job = QuantizeJob(kmeans(**TUNED, lr=1.0), pruned, None, digits)
    steps = 0
    for event in job.events():
        if isinstance(event, Progress) and event.stage.startswith("Tuning"):
            steps += 1
            assert job._tuning is not None
            for name in (CONV, HEAD):
                layer = job._tuning.model.get_submodule(name.removesuffix(".weight"))
                assert isinstance(layer.weight, torch.Tensor)
                weight = layer.weight.detach()
                assert is_positive_zero(weight[pruned.state[name] == 0])
                assert len(weight[pruned.state[name] != 0].unique()) <= 4
    assert steps == 6


def test_tuning_wins_back_what_clustering_lost(digits):
    recipe = TrainRecipe(
        model="LeNet5", dataset="Digits", device="cpu", prune=None, epochs=6, batch_size=32, lr=0.05
    )
    training = TrainJob(recipe, digits)
    list(training.events())
    trained = SavedModel(training.card(), training.result()["model"])
    raw = quantized(kmeans(clusters=2, recalibrate=False, rounding="nearest"), trained, digits)[1][
        -1
    ].summary
    tuned = quantized(kmeans(clusters=2, epochs=3, batch_size=32), trained, digits)[1][-1].summary
    assert raw.test_accuracy < raw.parent_accuracy - 0.05
    assert tuned.test_accuracy > (raw.test_accuracy + raw.parent_accuracy) / 2
    assert (tuned.epochs, raw.epochs, raw.train_seconds) == (3, 0, 0)


def test_an_epoch_is_tested_as_if_it_were_the_last(parent, digits, monkeypatch):
    """Epochs that learn nothing leave the network that a run without tuning makes.

    Both then re-estimate BatchNorm on the same images, because nothing is held back.
    """
    monkeypatch.setattr(holding_back, "MOST_TUNING_IMAGES", 0)
    job, events = quantized(kmeans(**TUNED, lr=1e-30, recalibrate=True), parent, digits)
    notes = [event.text for event in events if isinstance(event, Note)]
    assert "The packed file holds the last epoch: no training images were held back." in notes
    plain, _ = quantized(kmeans(clusters=4, recalibrate=True), parent, digits)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    expected = evaluate(
        SavedModel(plain.card(), plain.result()["model"]).network(), held_out(digits)
    )
    assert [end.test_accuracy for end in ends] == [expected[1]] * 2
    assert ends[0].test_loss == pytest.approx(expected[0], rel=1e-4)
    assert [(end.epoch, end.epochs) for end in ends] == [(1, 2), (2, 2)]
    assert job.result().keys() == {"model"}


def held_back_divergence(state, parent, digits):
    """In nats, on the images that a tuning of TUNED holds back, by float64."""
    train = data.load("Digits", digits).train
    _, held_back = hold_back(train.labels, len(train) // 10, 0)
    seen = ImageSet(train.images[held_back], train.labels[held_back])
    images, _ = DeviceImages(seen, MEAN, STD, "cpu").batch(slice(0, len(held_back)))
    with torch.inference_mode():
        before = parent.network()(images).double().log_softmax(1)
        after = SavedModel(parent.card, state).network()(images).double().log_softmax(1)
    return float((before.exp() * (before - after)).sum(1).mean())


@pytest.mark.parametrize("settings", [BAD_START | {"epochs": 6}, TUNED | {"lr": 10.0}])
def test_the_file_holds_the_network_that_is_closest_on_held_back_images(pruned, digits, settings):
    """At a learning rate of 10 every epoch is worse than no tuning at all."""
    job, events = quantized(kmeans(**settings), pruned, digits)
    ends = [event for event in events if isinstance(event, EpochEnd)]
    notes = [event.text for event in events if isinstance(event, Note)]
    divergences = [end.divergence or 0.0 for end in ends]
    state = job.result()["model"]
    summary = events[-1].summary
    found = held_back_divergence(state, pruned, digits)
    if "lr" in settings:
        assert min(divergences) > found
        assert any(note.startswith("The packed file holds the network before") for note in notes)
    else:
        best = min(ends, key=lambda end: end.divergence or 0.0)
        assert found == pytest.approx(best.divergence, rel=1e-4)
        assert summary.test_accuracy == best.test_accuracy
        assert any(
            note.startswith(f"The packed file holds epoch {best.epoch} of 6") for note in notes
        )
    model = SavedModel(job.card(), state).network()
    assert evaluate(model, held_out(digits))[1] == summary.test_accuracy
    assert summary.best_accuracy == summary.test_accuracy
    assert summary.best_by == "divergence"
    assert_same({"model": codec.unpack(job.files()["packed.secateur"]).state()}, job.result())


def test_the_divergence_is_measured_on_images_that_tuning_does_not_see(pruned, digits):
    """A second implementation, on the images that the parent's training held back."""
    card = pruned.card.model_copy(
        update={"recipes": ({"kind": "train", "validation": 200, "seed": 7},)}
    )
    parent = SavedModel(card, pruned.state)
    recipe = kmeans(**BAD_START | {"epochs": 1, "train_images": 2000})
    job, events = quantized(recipe, parent, digits)
    train = data.load("Digits", digits).train
    rows, held_back = hold_back(train.labels, 200, 7)
    assert len(job._tuning.loop.images) == len(rows) == 1237
    seen = ImageSet(train.images[held_back], train.labels[held_back])
    images, labels = DeviceImages(seen, MEAN, STD, "cpu").batch(slice(0, 200))
    with torch.inference_mode():
        before = parent.network()(images).double().softmax(1)
        tuned, _ = job._tuning.network()  # its only epoch, of which the file need not be
        logits = tuned(images)
    after = logits.double().softmax(1)
    end = next(event for event in events if isinstance(event, EpochEnd))
    expected = (before * (before / after).log()).sum(1).mean().item()
    assert end.divergence == pytest.approx(expected, rel=1e-4)
    assert end.validation_accuracy == (logits.argmax(1) == labels).double().mean().item()


def test_the_figures_of_the_layers_are_those_of_the_packed_file(pruned, digits):
    """Measured once more after tuning, and equal to what the page of the weights measures."""
    job, events = quantized(kmeans(**BAD_START), pruned, digits)
    first, last = [event for event in events if isinstance(event, Quantized)]
    assert (first.tuned, last.tuned) == (False, True)
    packed = codec.unpack(job.files()["packed.secateur"]).tensors
    for name in (CONV, HEAD):
        tuned = job.result()["model"][name]
        noise = (pruned.state[name] - tuned).double().square().sum()
        expected = 10 * math.log10(pruned.state[name].double().square().sum() / noise)
        assert last.layers[name]["snr"] == pytest.approx(expected)
        assert last.layers[name]["snr"] != pytest.approx(first.layers[name]["snr"])
        assert last.layers[name]["levels"] == len(tuned[tuned != 0].unique())
        assert last.layers[name]["pinned_zeros"] == int((tuned == 0).sum())
        item = packed[name]
        assert isinstance(item, Codebook)
        assert last.layers[name] == quantized_layer(pruned.state[name], item)


def test_a_tuning_of_an_older_version_goes_on_without_held_back_images(pruned, digits, monkeypatch):
    recipe = kmeans(**TUNED)
    monkeypatch.setattr(holding_back, "MOST_TUNING_IMAGES", 0)
    whole, _ = quantized(recipe, pruned, digits)
    job = QuantizeJob(recipe, pruned, None, digits)
    for event in job.events():
        if isinstance(event, EpochEnd):
            break
    older = job.checkpoint()
    assert older is not None
    assert older.pop("held_back") == 0
    older["best_accuracy"] = older["history"][0]["test_accuracy"]
    for name in ("validation_loss", "validation_accuracy", "divergence"):
        del older["history"][0][name]
    monkeypatch.undo()
    monkeypatch.setattr(
        setup, "build", lambda name, classes: eager_worker.network(classes, CHANNELS)
    )
    monkeypatch.setattr(
        "core.models.build", lambda name, classes: eager_worker.network(classes, CHANNELS)
    )
    monkeypatch.setattr(compression_images, "CALIBRATION_IMAGES", 50)
    resumed = QuantizeJob(recipe, pruned, None, digits, through_a_file(older))
    events = list(resumed.events())
    assert_same(whole.result(), resumed.result())
    assert summary_of(events).best_by == "test"


def test_dropout_is_off_and_the_global_generator_untouched(parent, digits):
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first, _ = quantized(kmeans(**TUNED), parent, digits)
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, _ = quantized(kmeans(**TUNED), parent, digits)
    assert_same(first.result(), again.result())
    assert first.files() == again.files()


def test_the_pupil_is_a_copy(parent, digits):
    model = parent.network()
    items = {name: share_weights(parent.state[name], 3) for name in (CONV, HEAD)}
    tuning = Tuning(kmeans(**TUNED), model, items, held_out(digits), False)
    list(tuning.loop.train_epoch())
    assert all(
        torch.equal(tensor, parent.state[name]) for name, tensor in model.state_dict().items()
    )
    assert not any(module.training for module in model.modules())


def test_tuning_bits_leaves_rounded_codebooks_and_unquantized_layers_as_they_are(parent, digits):
    model = parent.network()
    rounded = share_weights(parent.state[CONV], 3)
    grid = quantize(parent.state[HEAD], bits=2)
    items: dict[str, QuantizedWeight] = {CONV: rounded, HEAD: grid}
    recipe = AffineRecipe(bits=2, epochs=2, batch_size=16, train_images=40, lr=0.5, device="cpu")
    tuning = Tuning(recipe, model, items, held_out(digits), False)
    list(tuning.loop.train_epoch())
    network, tuned = tuning.network()
    assert torch.equal(network.get_parameter(CONV), rounded.decode())
    assert tuned[CONV] is rounded
    assert not torch.equal(tuned[HEAD].decode(), grid.decode())


# -- resume --


def through_a_file(state):
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def checkpoints_of(job):
    """Yield how many events the job has made and its checkpoint then, from its first one on."""
    for count, _ in enumerate(job.events(), 1):
        state = job.checkpoint()
        if state is not None:
            yield count, through_a_file(state)


@pytest.mark.parametrize(
    ("first", "changes"),
    [(0, {}), (1, {"batch_size": 13, "batchnorm": True, "lr": 0.5}), (2, {"layers": {CONV: 0}})],
    ids=str,
)
def test_resume_after_an_event_ends_in_the_same_bits(pruned, digits, first, changes):
    """Each recipe is stopped after every third event, and together they stop after all."""
    recipe = kmeans(**TUNED | changes)
    whole, events = quantized(recipe, pruned, digits)
    untimed = {"train_seconds", "images_per_second"}
    figures = events[-1].summary.to_dict()
    for count, state in checkpoints_of(QuantizeJob(recipe, pruned, None, digits)):
        if count % 3 != first:
            continue
        resumed = QuantizeJob(recipe, pruned, None, digits, state)
        rest = list(resumed.events())
        assert_same(whole.result(), resumed.result())
        assert whole.files() == resumed.files()
        for name in figures.keys() - untimed:
            assert summary_of(rest).to_dict()[name] == figures[name], (count, name)


def with_fewer_centroids(network, nearest, names, batches):
    """Compensated rounding that joins the last two centroids of every codebook."""
    rounded = yield from round_network(network, nearest, names, batches)
    for name, layer in rounded.layers.items():
        item = layer.item
        assert isinstance(item, Codebook)
        last = len(item.centroids) - 2
        joined = Codebook(item.centroids[:-1], item.indices.clamp(max=last), item.mask)
        rounded.layers[name] = replace(layer, item=joined)
    return rounded


def test_resume_where_compensated_rounding_used_fewer_centroids(pruned, digits, monkeypatch):
    monkeypatch.setattr(round_weights, "round_network", with_fewer_centroids)
    recipe = kmeans(**TUNED)
    whole, events = quantized(recipe, pruned, digits)
    first = next(event for event in events if isinstance(event, Quantized))
    assert first.layers[HEAD]["levels"] == 3
    job = QuantizeJob(recipe, pruned, None, digits)
    steps = 0
    for event in job.events():
        if not (isinstance(event, Progress) and event.stage.startswith("Tuning")):
            continue
        steps += 1
        if steps > 6:
            break
        resumed = QuantizeJob(recipe, pruned, None, digits, through_a_file(job.checkpoint()))
        list(resumed.events())
        assert_same(whole.result(), resumed.result())
        assert whole.files() == resumed.files()


def test_a_run_that_is_stopped_after_every_step_gets_there_too(pruned, digits):
    recipe, checkpoint = kmeans(**TUNED), None
    whole, _ = quantized(recipe, pruned, digits)
    for _ in range(20):
        job = QuantizeJob(recipe, pruned, None, digits, checkpoint)
        for event in job.events():
            if isinstance(event, Progress) and event.stage.startswith("Tuning"):
                break
        else:
            break
        checkpoint = through_a_file(job.checkpoint())
    assert isinstance(event, Finished)
    assert_same(whole.result(), job.result())


def test_there_is_nothing_to_keep_before_the_first_step(parent, digits):
    job = QuantizeJob(kmeans(**TUNED), parent, None, digits)
    assert (job.checkpoint(), job.result(), job.files()) == (None, {}, {})
    for event in job.events():
        if isinstance(event, Progress) and event.stage.startswith("Tuning"):
            break
        assert job.checkpoint() is None
    assert job.checkpoint() is not None
    raw, _ = quantized(kmeans(), parent, digits)
    assert raw.checkpoint() is None


# -- as runs --


@pytest.fixture
def trained(store, digits, monkeypatch):
    """A finished training, and checkpoints after every event."""
    for name in ("EPOCH_SAVE_SECONDS", "BATCH_SAVE_SECONDS", "SAVING_SHARE"):
        monkeypatch.setattr(worker, name, 0)
    run = store.create(
        TrainRecipe(model="LeNet5", dataset="Digits", device="cpu", epochs=1, train_images=40)
    )
    return finish(store, run, digits)


def finish(store, run, digits):
    for _ in work(run, digits):
        pass
    return store.get(run.id)


def contents(run):
    names = ("model.safetensors", "best.safetensors", PACKED)
    return {name: (run.path / name).read_bytes() for name in names if (run.path / name).exists()}


def test_a_chain_of_runs(store, trained, digits):
    shared = finish(store, store.create(kmeans(**TUNED), parent=trained.id), digits)
    assert (shared.state, shared.has_model, shared.status.message) == ("finished", True, "")
    rounded = finish(store, store.create(AffineRecipe(device="cpu"), parent=shared.id), digits)
    assert (rounded.state, rounded.status.epochs) == ("finished", 0)
    card = saved.read_card(rounded.path / "model.safetensors")
    assert [recipe["kind"] for recipe in card.recipes] == ["train", "kmeans", "affine"]
    for run in (shared, rounded):
        assert_same(
            {"model": codec.load(run.path / PACKED).state()},
            {"model": saved.read_model(run.path / "model.safetensors").state},
        )
        assert run.status.summary.packed_bytes == (run.path / PACKED).stat().st_size
        assert run.density == trained.density
    assert isinstance(codec.load(rounded.path / PACKED).tensors[HEAD], Codebook)
    assert rounded.status.summary.parent_accuracy == shared.status.summary.test_accuracy
    assert not (shared.path / "checkpoint.pt").exists()


@pytest.mark.parametrize("recipe", [kmeans(**TUNED), AffineRecipe(device="cpu")], ids=str)
def test_a_run_of_a_version_without_compensated_rounding_rounds_to_nearest(
    store, trained, digits, recipe
):
    run = store.create(recipe, parent=trained.id)
    config = json.loads((run.path / "config.json").read_text())
    assert config["recipe"].pop("rounding") == "compensated"
    del config["recipe"]["round_images"]
    (run.path / "config.json").write_text(json.dumps(config))
    run = store.get(run.id)
    assert run.recipe.rounding == "nearest"
    run = finish(store, run, digits)
    expected = recipe.model_copy(update={"rounding": "nearest"})
    other = finish(store, store.create(expected, parent=trained.id), digits)
    assert contents(run)[PACKED] == contents(other)[PACKED]


def test_progress_does_not_jump_back(store, trained, digits):
    run, seen = store.create(kmeans(**TUNED), parent=trained.id), []
    for _ in work(run, digits):
        seen.append(store.get(run.id).status.progress)
    assert seen == sorted(seen)
    assert seen[-1] == 1.0


def test_a_cancelled_run_continues_to_the_same_files(store, trained, digits):
    recipe = kmeans(**BAD_START, lr=0.1)
    whole = contents(finish(store, store.create(recipe, parent=trained.id), digits))
    run = store.create(recipe, parent=trained.id)
    for event in work(run, digits):
        if isinstance(event, EpochEnd):
            launch.cancel(run)
    run = store.get(run.id)
    assert (run.state, run.status.epoch, run.has_model) == ("cancelled", 1, False)
    assert (run.path / PACKED).read_bytes() != whole[PACKED]
    assert launch.reopen(run)
    assert contents(finish(store, run, digits)) == whole


def test_a_parent_that_is_gone(store, trained, digits):
    run = store.create(kmeans(), parent=trained.id)
    shutil.rmtree(trained.path)
    run = finish(store, run, digits)
    assert run.state == "failed"
    assert run.status.message.startswith(f"There is no run '{trained.id}'")
