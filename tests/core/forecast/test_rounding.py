"""The comparison of nearest and compensated rounding on one layer, and the time of a rounding."""

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from core.compress.affine import Affine
from core.compress.kmeans import share_weights
from core.compress.quantization.layers import quantize_layer
from core.config import AffineRecipe, KMeansRecipe
from core.data import Dataset, ImageSet
from core.errors import UserError
from core.events import Progress
from core.forecast.rounding import compare_roundings
from core.forecast.tuning import rounding_seconds
from core.models import build
from core.models.card import ModelCard
from core.models.saved import SavedModel

FIRST, LAST = "features.0.weight", "classifier.4.weight"
MEAN, STD = (0.4, 0.5, 0.6), (0.2, 0.3, 0.4)


@pytest.fixture(scope="module")
def saved():
    torch.manual_seed(0)
    classes = tuple("0123456789")
    card = ModelCard(model="LeNet5", dataset="Toy", classes=classes, mean=MEAN, std=STD, side=32)
    return SavedModel(card, build("LeNet5", 10).state_dict())


@pytest.fixture(scope="module")
def toy():
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (60, 3, 32, 32), dtype=np.uint8)
    part = ImageSet(images, np.arange(60) % 10)
    return Dataset("Toy", part, part, tuple("0123456789"), (0.1,) * 3, (0.1,) * 3, augment=False)


def compared(*args, **more):
    """The comparison, and the events on the way to it."""
    events, generator = [], compare_roundings(*args, **more)
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


@pytest.mark.parametrize("recipe", [KMeansRecipe(), AffineRecipe(bits=3)], ids=["kmeans", "affine"])
def test_the_errors_are_those_of_the_layers_outputs(saved, toy, recipe):
    """The oracle computes the last layer's outputs on all images explicitly."""
    before = {name: tensor.clone() for name, tensor in saved.state.items()}
    rounded, events = compared(saved, toy, recipe, LAST, images=60)
    network = saved.network()
    inputs = []
    network.get_submodule("classifier.4").register_forward_pre_hook(
        lambda _, arguments: inputs.append(arguments[0])
    )
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (MEAN, STD))
    with torch.inference_mode():
        network((torch.from_numpy(toy.train.images) / 255 - mean) / std)
    outputs = F.linear(inputs[0], saved.state[LAST])

    def error(item):
        change = F.linear(inputs[0], item.decode()) - outputs
        return float(change.square().sum() / outputs.square().sum())

    nearest = quantize_layer(saved.state[LAST], LAST, recipe)
    assert rounded.nearest_error == pytest.approx(error(nearest), rel=1e-3)
    assert rounded.error == pytest.approx(error(rounded.item), rel=1e-3)
    assert 0 < rounded.error < rounded.nearest_error
    assert all(isinstance(event, Progress) for event in events)
    assert events
    assert all(torch.equal(before[name], tensor) for name, tensor in saved.state.items())


def test_the_recipes_rounding_does_not_matter(saved, toy):
    for rounding in ("nearest", "compensated"):
        rounded, _ = compared(saved, toy, KMeansRecipe(rounding=rounding), FIRST, images=20)
        assert rounded.error < rounded.nearest_error


@pytest.mark.parametrize("init", ["fisher", "auto"])
def test_a_start_that_needs_images_gets_them(saved, toy, init):
    weighted, events = compared(saved, toy, KMeansRecipe(init=init), FIRST, images=20)
    plain, _ = compared(saved, toy, KMeansRecipe(init="optimal"), FIRST, images=20)
    assert "Fisher information" in {event.stage for event in events}
    assert weighted.nearest_error != plain.nearest_error
    assert weighted.error < weighted.nearest_error


def test_what_compensated_rounding_leaves_as_it_is_is_refused(saved, toy):
    with pytest.raises(UserError, match="stays in float"):
        compared(saved, toy, KMeansRecipe(layers={FIRST: 0}), FIRST)
    packed = {FIRST: share_weights(saved.state[FIRST], 4)}
    with pytest.raises(UserError, match="shared weights"):
        compared(saved, toy, AffineRecipe(), FIRST, packed=packed)
    rounded, _ = compared(saved, toy, AffineRecipe(), LAST, images=20, packed=packed)
    assert isinstance(rounded.item, Affine)


def test_the_time_grows_with_images_and_layers():
    shape = (16, 16, 3, 3)
    seconds = rounding_seconds("affine", 1000, 0.001, [shape, shape], 2)
    assert seconds == pytest.approx(2 * 1000 * 0.001, rel=0.15)
    assert rounding_seconds("affine", 2000, 0.001, [shape, shape], 2) > 1.8 * seconds
    assert rounding_seconds("affine", 1000, 0.001, [shape] * 4, 2) == pytest.approx(2 * seconds)


def test_fitting_centroids_and_long_rows_take_longer():
    long_rows = [(512, 512, 3, 3)]
    bits = rounding_seconds("affine", 10, 0.001, long_rows, 2)
    assert rounding_seconds("kmeans", 10, 0.001, long_rows, 2) > 2 * bits
    assert rounding_seconds("affine", 10, 0.001, [(512, 128, 3, 3)], 2) < bits / 4
