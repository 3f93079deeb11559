"""The epochs of a training or tuning: their batches, their position and their figures."""

import math

import pytest
import torch

from core.config import KMeansRecipe, TrainRecipe
from core.data.batches import DeviceImages
from core.data.imageset import ImageSet
from core.errors import UserError
from core.training.epoch import EpochLoop, in_batches
from core.training.schedule import lr_at
from core.training.step import Stepper, make_optimizer
from tests.toys import Flat

RECIPE = TrainRecipe(epochs=3, batch_size=4, schedule="cosine", lr=0.1)


def loop(recipe=RECIPE, images=10, stage="Epoch"):
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (images, 3, 8, 8), generator=generator, dtype=torch.uint8)
    labels = torch.randint(0, 5, (images,), generator=generator)
    image_set = ImageSet(pixels.numpy(), labels.numpy())
    torch.manual_seed(0)
    model = Flat()
    stepper = Stepper(model, make_optimizer(model, recipe.lr, 0.9, 0.0))
    device_images = DeviceImages(image_set, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5), "cpu")
    return EpochLoop(recipe, stepper, device_images, False, stage)


@pytest.mark.parametrize(
    ("images", "sizes"),
    [(8, [4, 4]), (9, [4, 4]), (10, [4, 4, 2]), (4, [4]), (3, [3]), (1, [1])],
)
def test_a_last_batch_of_one_image_is_left_out_unless_it_is_the_only_one(images, sizes):
    assert [len(batch) for batch in in_batches(torch.arange(images), 4)] == sizes


@pytest.mark.parametrize("images", [8, 9, 10, 3])
def test_the_images_done_are_those_of_the_batches_done(images):
    epochs = loop(images=images)
    sizes = [len(batch) for batch in in_batches(torch.arange(images), 4)]
    for done, _ in enumerate(epochs.train_epoch(), 1):
        assert epochs.images_done == sum(sizes[:done])
    assert epochs.batches_done == epochs.batches_per_epoch == len(sizes)


def test_the_last_progress_of_an_epoch_has_its_mean_loss():
    epochs = loop()
    progress = list(epochs.train_epoch())
    end = epochs.end_epoch(1.0, 0.5, 0.25, {})
    assert [(event.done, event.total) for event in progress] == [(1, 3), (2, 3), (3, 3)]
    assert {event.stage for event in progress} == {"Epoch 1 of 3"}
    assert progress[-1].loss == end.train_loss


def test_the_figures_of_an_epoch_and_the_position_after_it():
    epochs = loop()
    list(epochs.train_epoch())
    assert epochs.started
    seconds = epochs.seconds
    end = epochs.end_epoch(1.5, 0.25, 0.5, {})
    assert (end.epoch, end.epochs, end.test_loss, end.test_accuracy) == (1, 3, 1.5, 0.25)
    assert end.lr == lr_at(RECIPE, 2, 3)
    assert end.images_per_second == pytest.approx(10 / seconds)
    assert (end.train_seconds, end.seconds) == (seconds, seconds + 0.5)
    assert (epochs.epoch, epochs.batches_done, epochs.seconds) == (2, 0, 0.0)
    assert [row["images"] for row in epochs.history.rows] == [10]
    assert not epochs.finished


def test_tuning_follows_a_cosine_over_all_epochs():
    recipe = KMeansRecipe(epochs=2, lr=0.5)
    rates = [lr_at(recipe, step, 3) for step in range(6)]
    expected = [0.5 * (1 + math.cos(math.pi * step / 6)) / 2 for step in range(6)]
    assert rates == pytest.approx(expected)


def test_a_loss_that_is_nan_names_the_epoch_and_the_learning_rate():
    epochs = loop(stage="Tuning, epoch")
    next(epochs.train_epoch())
    epochs.stepper.loss_sum.fill_(math.nan)
    with pytest.raises(UserError) as caught:
        epochs.checkpoint()
    assert str(caught.value) == (
        "Tuning, epoch 1 of 3: the loss is NaN or infinite. Lower the learning rate (it was 0.1)"
        " and start again."
    )


@pytest.mark.parametrize("count", range(7))
def test_a_restored_loop_continues_to_the_same_bits(count):
    """After any number of the six steps of two epochs."""

    def train(epochs, steps):
        for _ in range(steps):
            next(epochs.train_epoch())
            if epochs.batches_done == epochs.batches_per_epoch:
                epochs.end_epoch(1.0, 0.5, 0.0, epochs.stepper.model.state_dict())

    whole = loop()
    train(whole, 6)
    first = loop()
    train(first, count)
    second = loop()
    second.stepper.model.load_state_dict(first.stepper.model.state_dict())
    second.restore(first.checkpoint())
    train(second, 6 - count)
    expected = whole.stepper.model.state_dict()
    for name, tensor in second.stepper.model.state_dict().items():
        assert torch.equal(tensor, expected[name]), name
    losses = [row["train_loss"] for row in second.history.rows]
    assert losses == [row["train_loss"] for row in whole.history.rows]
