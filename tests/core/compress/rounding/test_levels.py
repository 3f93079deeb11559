"""Levels of a layer: grids and codebooks, by hand and against nearest rounding itself."""

import pytest
import torch

from core.compress.affine import quantize
from core.compress.kmeans import share_weights
from core.compress.quantization.qparams import QParams, integer_range
from core.compress.rounding.levels import CentroidLevels, GridLevels


def grid_of(item, rows):
    lowest, highest = integer_range(item.bits, item.symmetric)
    qparams = QParams(item.scale, item.zero_point, item.axis, lowest, highest)
    return GridLevels.of(qparams, rows)


def test_a_grid_by_hand():
    """Row 0 has the levels -0.5, 0, 0.5 and 1; row 1 has 0, 2, 4 and 6."""
    levels = GridLevels(
        scale=torch.tensor([0.5, 2.0], dtype=torch.float64),
        zero_point=torch.tensor([1.0, 0.0], dtype=torch.float64),
        lowest=0,
        highest=3,
    )
    assert levels.nearest(torch.tensor([[0.3, 3.2]])).tolist() == [[0.5, 4.0]]
    assert levels.nearest(torch.tensor([[-9.0, -9.0]])).tolist() == [[-0.5, 0.0]]
    assert levels.nearest(torch.tensor([[9.0, 9.0]])).tolist() == [[1.0, 6.0]]
    rows = torch.tensor([1, 1, 0])
    assert levels.nearest(torch.tensor([0.6, 1.2, 0.6]), rows).tolist() == [0.0, 2.0, 0.5]


@pytest.mark.parametrize("axis", [None, 0])
@pytest.mark.parametrize("symmetric", [False, True])
def test_the_nearest_level_of_a_weight_is_nearest_rounding(axis, symmetric):
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    item = quantize(weight, 3, axis, symmetric)
    levels = grid_of(item, 6)
    by_column = [levels.nearest(column[None]) for column in weight.double().T]
    torch.testing.assert_close(torch.cat(by_column).T.float(), item.decode(), rtol=1e-6, atol=1e-7)
    level = torch.cat(by_column)
    assert torch.equal(torch.cat([levels.nearest(column[None]) for column in level]), level)


def test_centroids_by_hand():
    levels = CentroidLevels(torch.tensor([-1.0, 0.0, 4.0]))
    values = torch.tensor([[-9.0, -0.6, -0.4], [1.9, 2.1, 9.0]])
    assert levels.indices(values).tolist() == [[0, 0, 1], [1, 2, 2]]
    assert levels.nearest(values).tolist() == [[-1, -1, 0], [0, 4, 4]]
    assert levels.nearest(values).dtype == torch.float64


def test_a_single_centroid_is_nearest_to_everything():
    levels = CentroidLevels(torch.tensor([0.25]))
    assert levels.indices(torch.tensor([[-5.0], [5.0]])).tolist() == [[0], [0]]
    assert levels.nearest(torch.tensor([[-5.0], [5.0]])).tolist() == [[0.25], [0.25]]


def test_the_nearest_centroids_of_a_weight_are_its_codebook():
    weight = torch.randn(6, 40, generator=torch.Generator().manual_seed(0))
    codebook = share_weights(weight, 5)
    levels = CentroidLevels(codebook.centroids)
    assert torch.equal(levels.indices(weight.double()), codebook.indices.long())
