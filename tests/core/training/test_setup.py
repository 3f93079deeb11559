"""The preparation of a training, as far as the jobs' own tests do not show it."""

import numpy as np
import pytest
import torch

from core.config import Prune, TrainRecipe
from core.data import Dataset, ImageSet
from core.models.card import ModelCard
from core.training import setup


@pytest.fixture
def dataset():
    images = ImageSet(np.zeros((2, 3, 8, 8), np.uint8), np.zeros(2, np.int64))
    return Dataset("Toy", images, images, ("a", "b"), (0.1,) * 3, (0.2,) * 3, augment=False)


def card(mean, std):
    return ModelCard(model="LeNet5", classes=("a", "b"), mean=mean, std=std, side=32)


def test_a_data_set_takes_the_normalisation_of_a_network(dataset):
    changed = setup.with_normalisation_of(card((0.4, 0.5, 0.6), (0.7, 0.8, 0.9)), dataset)
    assert (changed.mean, changed.std) == ((0.4, 0.5, 0.6), (0.7, 0.8, 0.9))
    assert changed.train is dataset.train


def test_a_recipe_that_prunes_nothing_has_no_scores(dataset):
    with pytest.raises(ValueError, match="prunes nothing"):
        next(setup.build_and_score(TrainRecipe(prune=None), dataset))


@pytest.mark.parametrize(
    ("classes", "prune", "per_round"),
    [
        (10, Prune(), 128),
        (100, Prune(), 1024),
        (100, Prune(batches=1), 128),
        (100, Prune(batch_size=500), 1000),
        (2, Prune(batch_size=8), 24),
        (1000, Prune(), 2000),
    ],
    ids=str,
)
def test_each_class_gets_about_ten_scoring_images(classes, prune, per_round):
    image_set = ImageSet(np.zeros((2000, 3, 2, 2), np.uint8), np.zeros(2000, np.int64))
    names = tuple(map(str, range(classes)))
    dataset = Dataset("Toy", image_set, image_set, names, (0.1,) * 3, (0.2,) * 3, augment=True)
    recipe = TrainRecipe(prune=prune)
    training_images = setup.training_images(recipe, dataset, torch.device("cpu"))
    assert setup.scoring_images(recipe, dataset, training_images).per_round == per_round


@pytest.mark.parametrize("augment", [False, True])
def test_scoring_images_are_augmented_if_wanted(augment):
    pixels = np.arange(4 * 3 * 8 * 8, dtype=np.uint8).reshape(4, 3, 8, 8)
    image_set = ImageSet(pixels, np.arange(4))
    dataset = Dataset("Toy", image_set, image_set, ("a", "b"), (0,) * 3, (1,) * 3, augment=True)
    recipe = TrainRecipe(prune=Prune(augment=augment))
    training_images = setup.training_images(recipe, dataset, torch.device("cpu"))
    images, labels = setup.scoring_images(recipe, dataset, training_images).load(0, 4)
    originals = torch.from_numpy(pixels).float()[labels] / 255
    assert torch.allclose(images, originals) is not augment
