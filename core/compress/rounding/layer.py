"""Quantizes one layer with compensated rounding.

The rounded layer shall give the outputs of the float network, although its inputs are those of the
network quantized so far. So a layer also makes up for the errors of the layers before it. Li et
al., "GPTAQ" (arXiv:2504.02692), has the same aim. The levels of a codebook are fitted again between
two roundings, by least squares of the same error.
"""

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.compress.affine import Affine, QuantizedWeight
from core.compress.clustering.trained import tidy_codebook
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.output_error import OutputError
from core.compress.kmeans import Codebook
from core.compress.quantization.qparams import QParams, integer_range
from core.compress.rounding.columns import descend, round_columns
from core.compress.rounding.levels import CentroidLevels, GridLevels

RIDGE = 0.1
"""How much a change of the weight itself costs, as a share of the mean second moment.

It keeps the weight where few images say nothing, and the matrices well conditioned.
"""

_FITS = 4
"""How often the centroids are fitted again, unless the error no longer falls."""

_FIT_WORK = 1e11
"""Multiply-adds that the fits of a layer may take together, so that large layers take seconds."""


@dataclass(frozen=True, eq=False)
class RoundedLayer:
    """A layer after compensated rounding.

    item: its quantized weight.
    nearest_error, error: mean squared difference from the float network's outputs, as a share of
    their mean square; of nearest and of compensated rounding, on the images that were rounded on.
    """

    item: QuantizedWeight
    nearest_error: float
    error: float


def round_layer(layer: nn.Module, nearest: QuantizedWeight, inputs: InputMoments) -> RoundedLayer:
    """Round the weight of a Conv2d or Linear again, to the levels of `nearest`.

    layer: in float; it is not changed. nearest: its weight after nearest rounding. A codebook's
    centroids are fitted anew; the grid of an Affine stays. Pruned weights stay exactly 0. Where an
    input is always 0, its weights have no effect and get the nearest level. If the result changes
    the layer's outputs more than `nearest` does, `nearest` is kept.
    """
    weight = layer.weight
    assert isinstance(weight, Tensor)
    grouped = inputs.grouped(weight)
    error = inputs.objective(grouped, RIDGE, _kept_weights(grouped, nearest))
    if isinstance(nearest, Codebook):
        item: QuantizedWeight = _round_to_centroids(error, nearest)
    else:
        item = _round_to_grid(error, nearest)
    nearest_error = inputs.error_share(inputs.grouped(nearest.decode()))
    compensated_error = inputs.error_share(inputs.grouped(item.decode()))
    if compensated_error > nearest_error:  # the cost of changing weights may decide so
        return RoundedLayer(nearest, nearest_error, nearest_error)
    return RoundedLayer(item, nearest_error, compensated_error)


def _kept_weights(weight: Tensor, nearest: QuantizedWeight) -> Tensor | None:
    """A mask of the weights that may change, None if all may. Zeros stay, but not in clusters."""
    if isinstance(nearest, Codebook):
        return (
            None if nearest.mask is None else nearest.mask.to(weight.device).reshape(weight.shape)
        )
    kept = weight != 0
    return None if bool(kept.all()) else kept


def _round_to_grid(error: OutputError, nearest: Affine) -> Affine:
    lowest, highest = integer_range(nearest.bits, nearest.symmetric)
    device = error.weight.device
    scale = nearest.scale.to(device)
    zero_point = nearest.zero_point.to(device)
    qparams = QParams(scale, zero_point, nearest.axis, lowest, highest)
    rows = error.weight.shape[0] * error.weight.shape[1]
    levels = GridLevels.of(qparams, rows)
    rounded = descend(error, round_columns(error, levels), levels)
    by_row = rounded.view(rows, -1)
    integers = (by_row / levels.scale[:, None]).round() + levels.zero_point[:, None]
    values = integers.to(nearest.values.dtype).view(nearest.values.shape)
    return replace(nearest, values=values.to(nearest.values.device))


def _round_to_centroids(error: OutputError, nearest: Codebook) -> Codebook:
    if not nearest.centroids.numel():
        return nearest
    levels = CentroidLevels(nearest.centroids.to(error.weight.device))
    rounded = round_columns(error, levels)
    least = error.of(rounded)
    for _ in range(_fits(error, len(levels.centroids))):
        fitted = CentroidLevels(_fit_centroids(error, levels.indices(rounded), levels.centroids))
        tried = round_columns(error, fitted)
        tried_error = error.of(tried)
        if not tried_error < least:
            break
        levels = fitted
        rounded = tried
        least = tried_error
    return _codebook(levels, descend(error, rounded, levels), nearest)


def _fits(error: OutputError, centroids: int) -> int:
    """How often the centroids are fitted again: less often where it would take minutes."""
    work = centroids * error.weight.numel() * error.weight.shape[2]
    return min(_FITS, int(_FIT_WORK // work))


def _fit_centroids(error: OutputError, indices: Tensor, centroids: Tensor) -> Tensor:
    """The centroids of least error while every weight keeps its own; ascending.

    indices: (G, R, n). A centroid without weights stays.
    """
    count = len(centroids)
    members = [indices == index for index in range(count)]
    if error.kept is not None:
        members = [member & error.kept for member in members]
    quadratic = error.quadratic.float()  # precise enough, and twice as fast
    matrix = torch.zeros(count, count, dtype=torch.float64, device=centroids.device)
    vector = torch.zeros(count, dtype=torch.float64, device=centroids.device)
    belongs = indices.flatten()
    if error.kept is not None:
        belongs = belongs.masked_fill(~error.kept.flatten(), count)  # to no centroid
    for row, member in enumerate(members):
        response = member.float() @ quadratic
        vector[row] = error.linear[member].sum()
        sums = torch.bincount(belongs, response.flatten().double(), minlength=count + 1)
        matrix[row] = sums[:count]
    is_empty = ~torch.stack([member.any() for member in members])
    matrix[is_empty, is_empty] = 1.0
    vector[is_empty] = centroids[is_empty]
    fitted: Tensor = torch.linalg.lstsq(matrix, vector[:, None]).solution[:, 0]
    return fitted.sort().values


def _codebook(levels: CentroidLevels, rounded: Tensor, nearest: Codebook) -> Codebook:
    """The codebook in float32, each centroid once and used."""
    device = nearest.indices.device
    indices = levels.indices(rounded).view(nearest.indices.shape).to(device)
    return tidy_codebook(levels.centroids.float().to(device), indices, nearest.mask)
