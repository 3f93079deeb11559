"""The second moments of a layer's inputs and outputs, as sums over input vectors."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

_PANEL = 512
"""Rows of a symmetric product that are computed at once, from the diagonal on."""


@dataclass(frozen=True, eq=False)
class InputMoments:
    """Second moments of a layer's inputs and outputs, averaged over images and output positions.

    own: (G, n, n) float64, of x x^T, with the inputs x in the network that is quantized so far.
    crossed: (G, R, n) float64, of y x^T, with the outputs y of the layer in the float network at
    the same place, without bias.
    output_square: y^2, summed over the channels.
    samples: the number of input vectors.
    """

    own: Tensor
    crossed: Tensor
    output_square: float
    samples: int

    @property
    def is_finite(self) -> bool:
        """Whether no activation was infinite or not a number."""
        sums = (self.own.sum(), self.crossed.sum(), torch.tensor(self.output_square))
        return all(bool(value.isfinite()) for value in sums)


class MomentSums:
    """Sums of products over input vectors, each computed in float32 and added in float64."""

    def __init__(self) -> None:
        self._own: Tensor | None = None
        self._crossed: Tensor | None = None
        self._output_square = 0.0
        self._samples = 0

    def add(self, x: Tensor, y: Tensor) -> None:
        """x, y: inputs and outputs of the layer, (G, n, samples) and (G, R, samples)."""
        groups, columns, samples = x.shape
        if self._own is None or self._crossed is None:
            device = "cpu" if x.device.type == "mps" else x.device  # MPS has no float64
            self._own = torch.zeros((groups, columns, columns), dtype=torch.float64, device=device)
            self._crossed = torch.zeros(
                (groups, y.shape[1], columns), dtype=torch.float64, device=device
            )
        for rows in _panels(columns):  # what is below the diagonal follows by symmetry
            product = x[:, rows] @ x[:, rows.start :].mT
            self._own[:, rows, rows.start :] += product.to(self._own.device)
        self._crossed += (y @ x.mT).to(self._crossed.device)
        self._output_square += float(y.square().sum(dtype=torch.float32))
        self._samples += samples

    def moments(self) -> InputMoments:
        """Return the averages."""
        assert self._own is not None, "there are no images"
        assert self._crossed is not None
        for rows in _panels(self._own.shape[1]):
            self._own[:, rows.stop :, rows] = self._own[:, rows, rows.stop :].mT
        return InputMoments(
            self._own.div_(self._samples),
            self._crossed.div_(self._samples),
            self._output_square / self._samples,
            self._samples,
        )


def _panels(rows: int) -> Iterator[slice]:
    for start in range(0, rows, _PANEL):
        yield slice(start, min(start + _PANEL, rows))
