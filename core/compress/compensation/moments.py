"""The second moments of a layer's inputs and outputs, as sums over input vectors."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from core.compress.compensation.output_error import OutputError, quadratic_form

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

    def grouped(self, weight: Tensor) -> Tensor:
        """Return the layer's weight as (G, R, n) in float64, on the device of the moments."""
        groups, columns, _ = self.own.shape
        return weight.detach().to(self.own.device).double().reshape(groups, -1, columns)

    def objective(self, weight: Tensor, ridge: float, kept: Tensor | None = None) -> OutputError:
        """Return the output error as a function of the new weight, with a penalty for its change.

        weight: in float, (G, R, n). ridge: what a squared change of the weight costs, as a share of
        the mean second moment of the inputs. kept: see `OutputError`.
        """
        diagonal = self.own.diagonal(0, 1, 2)
        cost = ridge * diagonal.mean(1, keepdim=True)
        cost = torch.where(cost > 0, cost, 1.0)  # all inputs are 0
        quadratic = self.own.clone()
        quadratic.diagonal(0, 1, 2).add_(cost)
        return OutputError(quadratic, self.crossed + weight * cost[:, :, None], weight, kept)

    def error_share(self, weight: Tensor) -> float:
        """Return the mean squared output error of a weight, as a share of the outputs' mean square.

        weight: (G, R, n), float64. Without the penalty for its change.
        """
        if not self.output_square:
            return 0.0
        crossed = float((self.crossed * weight).sum())
        quadratic = quadratic_form(self.own, weight)
        return max(0.0, (quadratic - 2 * crossed) / self.output_square + 1)


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
