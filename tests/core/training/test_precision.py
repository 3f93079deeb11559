"""The choice of a precision: when both are timed, and what the timing leaves alone."""

import copy

import pytest
import torch

from core.config import TrainRecipe
from core.data.batches import DeviceImages
from core.data.imageset import ImageSet
from core.training import precision
from core.training.precision import choose_precision
from core.training.step import Stepper, make_optimizer
from tests.toys import Flat, batch

RECIPE = TrainRecipe(epochs=50, batch_size=4)


@pytest.fixture
def images():
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (10, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 5, (10,), generator=generator)
    image_set = ImageSet(pixels.numpy(), labels.numpy())
    return DeviceImages(image_set, (0.5,) * 3, (0.5,) * 3, "cpu")


def choose(recipe, model, images):
    """Return the choice, and the number of events."""
    choosing = choose_precision(recipe, model, images)
    events = 0
    while True:
        try:
            next(choosing)
        except StopIteration as end:
            return end.value, events
        events += 1


@pytest.fixture
def step_seconds(monkeypatch):
    """A function that sets the time of a step in each format, on a CPU that has both."""
    real_step = precision._timed_step

    def set_seconds(float32, bfloat16):
        def timed_step(stepper, *arguments):
            real_step(stepper, *arguments)
            return bfloat16 if stepper.precision == "bfloat16" else float32

        monkeypatch.setattr(precision, "_timed_step", timed_step)
        monkeypatch.setattr(precision, "computes_in_bfloat16", lambda: True)

    return set_seconds


@pytest.mark.parametrize(
    ("float32", "bfloat16", "choice", "reason"),
    [
        (0.9, 0.5, "bfloat16", "Training in bfloat16: 1.8 times as fast as float32 here."),
        (0.5, 0.5, "float32", "Training in float32: bfloat16 is 1.0 times as fast here."),
        (0.55, 0.5, "float32", "Training in float32: bfloat16 is 1.1 times as fast here."),
        (0.003, 0.001, "float32", ""),
    ],
)
def test_the_clearly_faster_format_trains(step_seconds, images, float32, bfloat16, choice, reason):
    step_seconds(float32, bfloat16)
    chosen, events = choose(RECIPE, Flat(), images)
    assert (chosen.precision, chosen.reason) == (choice, reason)
    assert events


@pytest.mark.parametrize("name", ["float32", "bfloat16"])
def test_what_was_requested_is_not_timed(step_seconds, images, name):
    step_seconds(0.5, 0.5)
    chosen, events = choose(RECIPE.model_copy(update={"precision": name}), Flat(), images)
    assert chosen.precision == name
    assert name in chosen.reason
    assert not events


def test_a_short_training_is_not_timed(step_seconds, images):
    step_seconds(0.9, 0.5)
    chosen, events = choose(RECIPE.model_copy(update={"epochs": 2}), Flat(), images)
    assert (chosen.precision, events) == ("float32", 0)


def test_a_cpu_that_emulates_bfloat16_is_not_timed(monkeypatch, images):
    monkeypatch.setattr(precision, "computes_in_bfloat16", lambda: False)
    chosen, events = choose(RECIPE, Flat(), images)
    assert (chosen.precision, events) == ("float32", 0)


def test_timing_changes_neither_the_network_nor_the_random_state(step_seconds, images):
    step_seconds(0.9, 0.5)
    model = Flat(dropout=0.5).eval()
    before = copy.deepcopy(model.state_dict())
    random_state = torch.get_rng_state()
    choose(RECIPE, model, images)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert all(parameter.grad is None for parameter in model.parameters())
    assert not any(module.training for module in model.modules())
    assert torch.equal(torch.get_rng_state(), random_state)


def test_a_step_in_bfloat16_keeps_float32_weights_near_those_of_float32():
    weights = {}
    for name in ("float32", "bfloat16"):
        torch.manual_seed(0)
        model = Flat()
        stepper = Stepper(model, make_optimizer(model, 0.1, 0.9, 0.0), precision=name)
        stepper(*batch(), 0.1)
        weights[name] = model.conv.weight
    assert weights["bfloat16"].dtype == torch.float32
    assert not torch.equal(weights["bfloat16"], weights["float32"])
    torch.testing.assert_close(weights["bfloat16"], weights["float32"], rtol=0.02, atol=0.002)
