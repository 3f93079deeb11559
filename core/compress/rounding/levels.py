"""The values that the weights of a layer may take: a grid, or the centroids of a codebook."""

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from core.compress.quantization.qparams import QParams


class RoundingLevels(Protocol):
    """The quantization levels of a layer, whose weight has one row for each output channel."""

    def nearest(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """Return the level nearest to each value, float64 in the values' shape.

        rows: the row that each value belongs to, int64 in the values' shape. If not given, there is
        one value of each row, in order.
        """


@dataclass(frozen=True, eq=False)
class GridLevels:
    """Evenly spaced levels, scale * (integer - zero point), with parameters for each row.

    scale, zero_point: float64 of shape (rows,). lowest, highest: the range of the integers.
    """

    scale: Tensor
    zero_point: Tensor
    lowest: int
    highest: int

    @classmethod
    def of(cls, qparams: QParams, rows: int) -> "GridLevels":
        """Return the levels of these quantization parameters, for a weight of so many rows."""
        return cls(
            qparams.scale.double().expand(rows),
            qparams.zero_point.double().expand(rows),
            qparams.lowest,
            qparams.highest,
        )

    def nearest(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """See `RoundingLevels.nearest`."""
        scale = self.scale.view_as(values) if rows is None else self.scale[rows]
        zero_point = self.zero_point.view_as(values) if rows is None else self.zero_point[rows]
        integers = (values / scale).round() + zero_point
        return (integers.clamp(self.lowest, self.highest) - zero_point) * scale


class CentroidLevels:
    """The centroids of a codebook, the same for all rows.

    centroids: float64 of shape (k,), ascending, k at least 1.
    """

    def __init__(self, centroids: Tensor) -> None:
        self.centroids = centroids.double()
        self._midpoints = (self.centroids[1:] + self.centroids[:-1]) / 2

    def indices(self, values: Tensor) -> Tensor:
        """Return the index of the centroid nearest to each value, int64 in the values' shape."""
        return torch.bucketize(values.contiguous(), self._midpoints)

    def nearest(self, values: Tensor, rows: Tensor | None = None) -> Tensor:
        """See `RoundingLevels.nearest`."""
        return self.centroids.take(self.indices(values))
