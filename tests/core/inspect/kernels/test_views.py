"""Kernels as pictures, against numpy."""

import numpy as np
import pytest
import torch
from torch import nn

from core import models
from core.errors import UserError
from core.inspect.kernels.views import (
    MASK_SCALE,
    block_means,
    kept_mask,
    kernel_maps,
    possible_views,
    shared_scale,
)
from core.models.parameters import prunable_weights


@pytest.mark.parametrize("name", ["VGG16", "ResNet20", "LeNet5", "resnet50", "mobilenet_v2"])
def test_every_weight_of_a_network_against_numpy(name):
    for weight in prunable_weights(models.build(name, 10)).values():
        shown, values = kernel_maps(weight), weight.detach().numpy()
        if shown.view == "mean":
            assert np.allclose(shown.maps, values.mean(1), atol=1e-6)
            assert (
                kernel_maps(weight, "channel", values.shape[1] - 1).maps.tolist()
                == values[:, -1].tolist()
            )
        else:
            assert shown.maps.shape[0] == 1
            assert max(shown.maps.shape) <= 1024
            if shown.averaged == (1, 1):
                assert (shown.maps[0] == values.reshape(len(values), -1)).all()
        assert len(shown.mosaic(shared_scale(shown)).grid.order) == len(shown.maps)


def test_views_that_a_weight_has():
    assert possible_views((64, 3, 3, 3)) == ["mean", "channel", "rgb"]
    assert possible_views((64, 1, 5, 5)) == possible_views((8, 64, 1, 3)) == ["mean", "channel"]
    assert possible_views((64, 3, 1, 1)) == possible_views((10, 84)) == ["matrix"]


def test_a_mean_and_a_channel_by_hand():
    weight = torch.tensor([[[[1.0, 2.0]], [[3.0, -6.0]]]])
    assert kernel_maps(weight).maps.tolist() == [[[2.0, -2.0]]]
    assert kernel_maps(weight, "channel", 1).maps.tolist() == [[[3.0, -6.0]]]


def test_colours_are_the_three_input_channels():
    weight = torch.randn(4, 3, 5, 5)
    shown = kernel_maps(weight, "rgb")
    assert shown.maps.shape == (4, 5, 5, 3)
    assert shown.maps[2, 1, 3].tolist() == weight[2, :, 1, 3].tolist()
    picture = shown.mosaic(shared_scale(shown), tile=5)
    left, top, *_ = picture.grid.box(2)
    expected = [
        round(255 * (0.5 + value / 2 / weight.abs().max().item()))
        for value in weight[2, :, 1, 3].tolist()
    ]
    assert picture.pixels[top + 1, left + 3].tolist() == [*expected, 255]


def test_a_large_matrix_is_averaged_and_says_so():
    weight = torch.randn(100, 4000)
    shown = kernel_maps(weight, side=1000)
    assert (shown.maps.shape, shown.averaged) == ((1, 100, 1000), (1, 4))
    assert np.allclose(shown.maps[0], weight.reshape(100, 1000, 4).mean(2).numpy(), atol=1e-6)
    assert kernel_maps(torch.randn(100, 20)).averaged == (1, 1)


def test_a_small_matrix_is_enlarged_and_a_layout_can_be_chosen():
    shown = kernel_maps(torch.randn(10, 84))
    assert shown.mosaic(shared_scale(shown)).grid.zoom == 4
    assert shown.mosaic(shared_scale(shown), tile=84).grid.zoom == 1


def test_what_was_pruned():
    weight = torch.tensor([[[[0.5, 0.0]], [[0.0, 0.0]]], [[[-1.0, 2.0]], [[3.0, 0.0]]]])
    assert kernel_maps(kept_mask(weight)).maps.tolist() == [[[0.5, 0.0]], [[1.0, 0.5]]]
    assert kernel_maps(kept_mask(weight), "channel", 0).maps.tolist() == [
        [[1.0, 0.0]],
        [[1.0, 1.0]],
    ]
    assert (
        kernel_maps(kept_mask(weight, torch.ones(weight.shape, dtype=torch.bool))).maps.min() == 1
    )
    assert MASK_SCALE.levels(np.array([0.0, 1.0])).tolist() == [0, 252]
    assert MASK_SCALE.palette[[0, 252]].tolist() == [[255, 255, 255], [0, 0, 0]]


def test_one_scale_for_several_models():
    first, second = (
        kernel_maps(torch.full((2, 4, 3, 3), 0.5)),
        kernel_maps(torch.full((2, 4, 3, 3), -1.0)),
    )
    scale = shared_scale(first, second)
    assert (scale.low, scale.high) == (-1.0, 1.0)
    assert shared_scale(first).high == 0.5
    assert set(first.mosaic(scale).pixels.ravel()) == {
        189,
        253,
    }  # 0.5 is three quarters of the way from -1 to 1


def test_the_weight_is_only_read_wherever_and_whatever_it_is():
    weight = nn.Parameter(torch.randn(3, 2, 3, 3, dtype=torch.bfloat16))
    before = weight.detach().clone()
    assert kernel_maps(weight).maps.dtype == np.float32
    assert torch.equal(weight, before)
    assert weight.requires_grad


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            (torch.zeros(4, 2, 3, 3), "rgb"),
            r"view must be one of mean, channel for a weight \(4, 2, 3, 3\), got 'rgb'",
        ),
        (
            (torch.zeros(4, 2), "mean"),
            r"view must be one of matrix for a weight \(4, 2\), got 'mean'",
        ),
        ((torch.zeros(4, 2, 3, 3), "channel", 2), r"channel must be in \[0, 2\), got 2"),
        ((torch.zeros(4, 2, 3, 3), "channel", -1), r"channel must be in \[0, 2\), got -1"),
    ],
)
def test_what_a_weight_does_not_have_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        kernel_maps(*arguments)


def test_block_means_by_hand():
    matrix = np.array([[1, 3, 5, 7, 9], [3, 5, 7, 9, 11], [10, 20, 30, 40, 50]], np.float32)
    reduced, steps = block_means(matrix, 3)
    assert (reduced.tolist(), steps) == ([[2, 6, 9], [4, 8, 11], [15, 35, 50]], (1, 2))
    reduced, steps = block_means(matrix, 2)
    assert (reduced.tolist(), steps) == (
        [[(1 + 3 + 5 + 3 + 5 + 7) / 6, (7 + 9 + 9 + 11) / 4], [20, 45]],
        (2, 3),
    )
    assert block_means(matrix, 5)[0] is matrix


def test_block_means_weigh_every_value_once():
    matrix = np.random.default_rng(2).random((12, 30)).astype(np.float32)
    reduced, steps = block_means(matrix, 6)
    assert (reduced.shape, steps) == ((6, 6), (2, 5))
    assert np.allclose(reduced, matrix.reshape(6, 2, 6, 5).mean((1, 3)), atol=1e-6)
