"""The images that are held back: by the seed, in proportion, and known to what comes after."""

import numpy as np
import pytest
import torch

from core.config import AffineRecipe, KMeansRecipe, TrainRecipe
from core.data import Dataset, ImageSet
from core.data.imageset import hold_back
from core.errors import UserError
from core.models.card import ModelCard
from core.training import setup
from core.training.held_back import count_held_back, split_for_compression, split_of_recipe

LABELS = np.repeat(np.arange(3), [10, 30, 60])


@pytest.fixture
def dataset():
    images = np.zeros((100, 3, 4, 4), np.uint8)
    images[:, 0, 0, 0] = np.arange(100)
    part = ImageSet(images, LABELS)
    test = ImageSet(images[:5], LABELS[:5])
    return Dataset("Toy", part, test, ("a", "b", "c"), (0.0,) * 3, (1.0,) * 3, augment=False)


def card(**recipe):
    return ModelCard(
        model="LeNet5",
        classes=("a", "b", "c"),
        mean=(0.0,) * 3,
        std=(1.0,) * 3,
        side=4,
        recipes=({"kind": "train", **recipe}, {"kind": "affine"}),
    )


def test_every_class_gives_its_share():
    rows, held_back = hold_back(LABELS, 20, 0)
    assert sorted([*rows, *held_back]) == list(range(100))
    assert np.bincount(LABELS[held_back]).tolist() == [2, 6, 12]
    assert (np.diff(rows) > 0).all()
    assert (np.diff(held_back) > 0).all()


def test_the_seed_decides():
    assert np.array_equal(hold_back(LABELS, 20, 5)[1], hold_back(LABELS, 20, 5)[1])
    assert not np.array_equal(hold_back(LABELS, 20, 5)[1], hold_back(LABELS, 20, 6)[1])


@pytest.mark.parametrize("n", [-1, 100])
def test_a_set_keeps_at_least_one_image(n):
    with pytest.raises(ValueError, match=f"100 images cannot spare {n}"):
        hold_back(LABELS, n, 0)


def test_the_training_gets_the_others(dataset):
    recipe = TrainRecipe(validation=20, seed=5)
    split = split_of_recipe(recipe, dataset)
    images = setup.training_images(recipe, dataset, torch.device("cpu"))
    batch, labels = images.batch(slice(0, 100))
    seen = (batch[:, 0, 0, 0] * 255).round().int().tolist()
    assert seen == split.training.tolist()
    assert labels.tolist() == LABELS[split.training].tolist()
    assert not set(seen) & set(split.held_back.tolist())
    few = setup.training_images(
        recipe.model_copy(update={"train_images": 12}), dataset, torch.device("cpu")
    )
    pixels = (few.batch(torch.arange(12))[0][:, 0, 0, 0] * 255).round().int().tolist()
    assert set(pixels) <= set(seen)


def test_at_least_two_images_are_left(dataset):
    assert len(split_of_recipe(TrainRecipe(validation=98), dataset).training) == 2
    with pytest.raises(UserError, match=r"validation must be in \[0, 98\], .* got 99"):
        split_of_recipe(TrainRecipe(validation=99), dataset)


@pytest.mark.parametrize("recipe", [KMeansRecipe(), KMeansRecipe(epochs=2), AffineRecipe()])
def test_quantizing_holds_back_what_the_training_did(dataset, recipe):
    split = split_for_compression(card(validation=20, seed=5), recipe, dataset)
    expected = split_of_recipe(TrainRecipe(validation=20, seed=5), dataset)
    assert np.array_equal(split.held_back, expected.held_back)
    assert np.array_equal(split.training, expected.training)


def test_a_quantized_network_knows_how_many_images_its_training_held_back():
    assert count_held_back(card(validation=20, seed=5)) == 20
    assert count_held_back(card()) == 0


def test_only_a_tuning_holds_back_images_by_itself(dataset):
    assert not len(split_for_compression(card(), KMeansRecipe(), dataset).held_back)
    assert not len(split_for_compression(card(), AffineRecipe(), dataset).held_back)
    assert len(split_for_compression(card(), KMeansRecipe(epochs=1), dataset).held_back) == 10
