"""The Grad-CAM maps of networks that are compared."""

import numpy as np
import pytest
import torch
from torch import nn

from core.errors import UserError
from core.inspect.behaviour.class_maps import class_map, map_differences, mappable_layers
from core.models.card import ModelCard

CARD = ModelCard(model="toy", classes=("red", "green"), mean=(0.0,) * 3, std=(1.0,) * 3, side=4)


class Mixed(nn.Module):
    """Has convolutions that Grad-CAM can draw, and all kinds that it cannot."""

    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(3, 2, 2, 2)
        self.norm = nn.BatchNorm2d(2)
        self.gate = nn.Conv2d(2, 2, 1)
        self.twice = nn.Conv2d(2, 2, 1)
        self.windows = nn.Conv2d(2, 2, 1)
        self.unused = nn.Conv2d(2, 2, 1)
        self.head = nn.Linear(2, 2)

    def forward(self, images):
        maps = self.norm(self.first(images))
        maps = maps * self.gate(maps.mean((2, 3), keepdim=True))
        maps = self.twice(self.twice(maps))
        # The two rows become two entries of the batch.
        rows = maps.permute(0, 2, 1, 3).reshape(-1, 2, 1, maps.shape[3])
        rows = self.windows(rows)
        return self.head(rows.mean((0, 2, 3))[None])


def test_only_layers_with_a_map_of_one_image_are_offered():
    model = Mixed().train()
    assert mappable_layers(model, side=4) == {"first": (2, 2)}
    assert model.training
    assert not any(module._forward_hooks for module in model.modules())
    assert model.norm.num_batches_tracked == 0


def test_a_network_without_convolutions_offers_none():
    assert mappable_layers(nn.Sequential(nn.Flatten(), nn.Linear(48, 2)), side=4) == {}


class Means(nn.Module):
    """The logits are the means of red and green, in the unit of pixels in [0, 1]."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 1, bias=False)
        self.conv.weight.data = torch.eye(2, 3)[..., None, None]

    def forward(self, images):
        return self.conv(images).mean((2, 3))


def test_the_map_of_a_class_is_that_of_the_normalised_picture():
    pytest.importorskip("captum")
    image = np.zeros((3, 4, 4), np.uint8)
    image[1, 2, 3] = 255
    expected = np.zeros((4, 4))
    expected[2, 3] = 1 / 16
    assert np.allclose(class_map(Means(), image, CARD, "conv", 1), expected)
    assert not class_map(Means(), image, CARD, "conv", 0).any()
    with pytest.raises(UserError, match="class_index"):
        class_map(Means(), image, CARD, "conv", 2)


def test_differences_are_from_the_first_map():
    first = np.full((2, 2), 1.0, np.float32)
    second = np.full((2, 2), 3.0, np.float32)
    assert map_differences([first]) == []
    none, difference = map_differences([first, None, second])
    assert none is None
    assert difference is not None
    assert np.array_equal(difference, np.full((2, 2), 2.0))
    assert map_differences([None, second]) == [None]


def test_the_smaller_of_two_maps_is_enlarged():
    first = np.array([[0.0, 4.0], [0.0, 4.0]], np.float32)
    (difference,) = map_differences([first, np.zeros((4, 4), np.float32)])
    assert difference is not None
    assert np.array_equal(difference, [[0.0, -1.0, -3.0, -4.0]] * 4)
