"""Model cards: whether a network counts as quantized, by the recipes that made it."""

import pytest

from core.models.card import ModelCard


@pytest.mark.parametrize(
    ("kinds", "is_quantized", "shares_weights"),
    [
        ("train", False, False),
        ("train kmeans", True, True),
        ("train affine", True, False),
        ("train kmeans affine", True, True),
        ("train kmeans prune", False, False),
        ("train prune kmeans", True, True),
        ("train kmeans prune affine", True, False),
    ],
)
def test_pruning_puts_a_quantized_network_into_float_again(kinds, is_quantized, shares_weights):
    card = ModelCard(
        model="LeNet5",
        classes=("cat", "dog"),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        side=32,
        recipes=tuple({"kind": kind} for kind in kinds.split()),
    )
    assert card.is_quantized is is_quantized
    assert card.shares_weights is shares_weights
