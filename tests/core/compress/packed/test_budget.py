"""Honest networks stay within the budget of units, and forged shapes do not."""

import math

import numpy as np
import pytest

from core.compress.packed.budget import UnitBudget
from core.compress.packed.contexts import ContextModel, Learned, has_contexts, unit_count
from core.models import MODELS, TORCHVISION, build
from core.models.meta import AllocateOnMeta
from tests.networks import one_of_each_kind

JUST_BELOW_LARGE = (1 << 18) - 1
LARGEST = ("VGG19BN3", "WRN28x10", "convnext_large", "regnet_y_128gf", "vgg19", "vit_h_14")
"""They have the largest layers."""


def most_units(shape, alphabet):
    """The number of kept weights that makes a layer's indices the most units."""
    size = math.prod(shape)
    sizes = (size, min(size, JUST_BELOW_LARGE))
    return max(sizes, key=lambda kept: unit_count(shape, kept, alphabet))


def spend_all(budget, shape, alphabet=2):
    """Code the mask and the indices of a layer in contexts. Whether the budget allows both."""
    budget.add_weights(math.prod(shape))
    codings = [(math.prod(shape), 2), (most_units(shape, alphabet), alphabet)]
    for size, letters in codings:
        if has_contexts(shape, size, letters):
            if not budget.allows(shape, size, letters):
                return False
            budget.spend(shape, size, letters)
    return True


@pytest.mark.parametrize("model", one_of_each_kind([*MODELS, *TORCHVISION], *LARGEST))
def test_every_network_of_the_registry_may_have_all_its_layers_in_contexts(model):
    with AllocateOnMeta():
        state = build(model, 10).state_dict()
    shapes = [list(tensor.shape) for tensor in state.values() if tensor.ndim > 1]
    for alphabet in (2, 255, 256):
        budget = UnitBudget()
        assert all(spend_all(budget, shape, alphabet) for shape in shapes)


@pytest.mark.parametrize("shape", [(8, 8, 400, 400), (64, 1, 375, 375), (2, 64, 140_000)])
def test_a_kernel_of_many_positions_is_not_allowed(shape):
    budget = UnitBudget()
    budget.add_weights(math.prod(shape))
    assert not budget.allows(shape, math.prod(shape), 2)


def test_many_layers_share_the_budget():
    shape = (64, 64, 16, 16)
    budget = UnitBudget()
    allowed = [spend_all(budget, shape) for _ in range(40)]
    assert allowed[0]
    assert not allowed[-1]


@pytest.mark.parametrize(
    "shape", [(64, 64), (10, 300), (5, 3), (40, 30, 3, 3), (7, 500, 2, 2), (600, 600), (512,)]
)
def test_the_count_is_that_of_the_units(shape):
    model = ContextModel(shape, np.arange(5, dtype=np.int16), Learned())
    assert len(list(model._units())) == unit_count(shape, math.prod(shape), 5)
