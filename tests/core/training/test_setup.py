"""The preparation of a training, as far as the jobs' own tests do not show it."""

import numpy as np
import pytest

from core.config import TrainRecipe
from core.data import Dataset, ImageSet
from core.errors import UserError
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


def test_a_network_for_other_channels_is_refused(dataset):
    with pytest.raises(UserError, match=r"^The images of LeNet5 must have 3 channels, .* got 1\.$"):
        setup.with_normalisation_of(card((0.5,), (0.5,)), dataset)


def test_a_recipe_that_prunes_nothing_has_no_scores(dataset):
    with pytest.raises(ValueError, match="prunes nothing"):
        next(setup.build_and_score(TrainRecipe(prune=None), dataset))
