"""Scores that trainings share: for which settings they are the same, and for which not."""

import pytest
import torch

from core.compress.pruning.scoring_images import ScoringImages
from core.config import Prune, TrainRecipe
from core.training import score_memory
from core.training.score_memory import remembering_scores

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits", prune=Prune(density=0.1))
SCORES = {"weight": torch.ones(3)}


def images(seed=0):
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.randn(100, 3, 8, 8, generator=generator)
    labels = torch.arange(100)
    return ScoringImages(lambda i, j: (pixels[i:j], labels[i:j]), 100, 100, 50)


def with_prune(**changes):
    prune = Prune(density=0.1).model_copy(update=changes)
    return RECIPE.model_copy(update={"prune": prune})


@pytest.mark.parametrize(
    "recipe",
    [
        with_prune(density=0.5, layerwise=True),
        RECIPE.model_copy(update={"lr": 0.5, "epochs": 3, "weight_decay": 0.0, "gamma": 0.5}),
    ],
)
def test_what_comes_after_the_scoring_does_not_matter(recipe):
    with remembering_scores():
        score_memory.remember(RECIPE, images(), SCORES)
        assert score_memory.recall(recipe, images()) is SCORES


@pytest.mark.parametrize(
    "recipe",
    [
        *(
            RECIPE.model_copy(update=change)
            for change in (
                {"seed": 1},
                {"model": "ResNet20"},
                {"dataset": "CIFAR10"},
                {"batch_size": 64},
                {"train_images": 50},
                {"validation": 10},
                {"augment": True},
                {"prune": None},
            )
        ),
        with_prune(method="random"),
        with_prune(score_mode="train"),
        with_prune(batches=3),
        with_prune(batch_size=16),
        with_prune(augment=False),
    ],
)
def test_what_the_scores_depend_on_does_matter(recipe):
    with remembering_scores():
        score_memory.remember(RECIPE, images(), SCORES)
        assert score_memory.recall(recipe, images()) is None


def test_other_images_have_other_scores():
    with remembering_scores():
        score_memory.remember(RECIPE, images(), SCORES)
        assert score_memory.recall(RECIPE, images(seed=1)) is None


def test_only_the_last_scores_are_kept_and_only_where_asked():
    score_memory.remember(RECIPE, images(), SCORES)
    assert score_memory.recall(RECIPE, images()) is None
    with remembering_scores():
        score_memory.remember(RECIPE, images(), SCORES)
        score_memory.remember(RECIPE.model_copy(update={"seed": 1}), images(), SCORES)
        assert score_memory.recall(RECIPE, images()) is None
        score_memory.remember(with_prune(method="synflow"), images(), SCORES)
        assert score_memory.recall(with_prune(method="synflow"), images()) is None
    assert score_memory.recall(RECIPE, images()) is None
