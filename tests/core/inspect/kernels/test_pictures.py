"""Weights drawn to be compared: their scale, their picture, their numbers."""

import numpy as np
import pytest
import torch

from core.inspect.kernels.pictures import draw_kernels, kernel_statistics
from core.inspect.kernels.views import MASK_SCALE, kernel_maps


def test_numbers_by_hand():
    found = kernel_statistics(torch.tensor([[0.0, -0.0, 1.5], [-2.0, 1.5, float("nan")]]))
    assert (found.shape, found.weights, found.zeros, found.non_finite) == ((2, 3), 6, 2, 1)
    assert (found.low, found.high) == (-2.0, 1.5)
    assert kernel_statistics(torch.full((2, 2), float("inf"))).non_finite == 4


@pytest.mark.parametrize(("values", "counted"), [(5, 5), (256, 256), (257, None), (50_000, None)])
def test_different_values_are_counted_up_to_256(values, counted):
    weight = torch.arange(50_000) % values
    assert kernel_statistics(weight.view(500, 100).float()).distinct == counted


def test_rare_values_are_counted_that_no_sample_has_to_meet():
    weight = torch.zeros(1000, 1000)
    weight[0, 1] = weight[500, 501] = 1.0
    weight[999, 998] = 2.0
    assert kernel_statistics(weight).distinct == 3


def test_weights_of_one_view_share_a_scale():
    small, large = torch.full((4, 2, 3, 3), 0.5), torch.full((8, 4, 3, 3), -2.0)
    first, second, matrix = draw_kernels([small, large, torch.full((4, 4), 7.0)])
    assert first.mosaic.scale == second.mosaic.scale
    assert (first.mosaic.scale.low, first.mosaic.scale.high) == (-2.0, 2.0)
    assert matrix.mosaic.scale.high == 7.0
    assert (first.label, matrix.label) == ("mean weight", "weight")


def test_a_view_that_a_weight_has_not_becomes_its_usual_one():
    weights = [torch.randn(4, 3, 3, 3), torch.randn(4, 8, 3, 3), torch.randn(4, 8)]
    assert [drawn.kernels.view for drawn in draw_kernels(weights, "rgb")] == [
        "rgb",
        "mean",
        "matrix",
    ]
    last = draw_kernels(weights, "channel", 5)[0]
    assert (last.kernels.maps == kernel_maps(weights[0], "channel", 2).maps).all()


def test_channels_without_a_weight_are_counted_and_framed():
    weight = torch.ones(4, 2, 3, 3)
    weight[2] = 0
    drawn = draw_kernels([weight])[0]
    assert drawn.empty_channels == 1
    left, top, right, bottom = drawn.mosaic.grid.box(2)
    frames = np.argwhere(drawn.mosaic.pixels == 254)
    assert frames.min(0).tolist() == [top - drawn.mosaic.grid.gap, left - drawn.mosaic.grid.gap]
    assert frames.max(0).tolist() == [
        bottom + drawn.mosaic.grid.gap - 1,
        right + drawn.mosaic.grid.gap - 1,
    ]


def test_the_mask_has_one_scale_and_says_what_it_shows():
    weight = torch.ones(4, 2, 3, 3)
    weight[:, 0] = 0
    (mean,) = draw_kernels([weight], mask=True)
    assert mean.mosaic.scale == MASK_SCALE
    assert mean.label == "share of weights kept"
    assert mean.kernels.maps.tolist() == np.full((4, 3, 3), 0.5).tolist()
    (single,) = draw_kernels([weight], "channel", 1, mask=True)
    assert single.label == "1: kept, 0: pruned"
    assert single.kernels.maps.min() == 1
    assert single.statistics.zeros == 36


@pytest.mark.parametrize(
    "shape", [(6, 3, 5, 5), (64, 64, 3, 3), (512, 512, 3, 3), (10, 84), (64, 512, 1, 1)]
)
def test_pictures_are_about_as_large_as_asked_and_share_whole_pixels(shape):
    picture = draw_kernels([torch.randn(shape)], width=1200)[0].mosaic
    assert 500 <= max(picture.pixels.shape) <= 2400
    assert picture.grid.height % picture.grid.zoom == picture.grid.width % picture.grid.zoom == 0
