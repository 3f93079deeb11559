"""The output error of a layer as a function of its weight, and the triangular factor of it.

The weight is seen as (G, R, n): G groups of R output channels, each a row of n weights. All numbers
here are float64, because the matrices are nearly singular.
"""

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

_PANEL = 512
"""Rows of a symmetric matrix that are multiplied at once, from the diagonal on."""


@dataclass(frozen=True, eq=False)
class OutputError:
    """The output error of a layer as a quadratic function of its weight, up to a constant.

    A row q has the error q A q^T - 2 q b^T.
    quadratic: A, (G, n, n), symmetric and positive definite.
    linear: b of every row, (G, R, n).
    weight: the weight in float, (G, R, n).
    kept: bool (G, R, n), False for pruned weights, which stay exactly 0; None if there are none.
    """

    quadratic: Tensor
    linear: Tensor
    weight: Tensor
    kept: Tensor | None = None

    @cached_property
    def order(self) -> Tensor:
        """The columns by falling quadratic coefficient, (G, n)."""
        diagonal = self.quadratic.diagonal(0, 1, 2)
        return torch.argsort(diagonal, dim=1, descending=True, stable=True)

    @cached_property
    def factor(self) -> "Factor":
        """The factor of A with rows and columns in order; computed once, it takes long.

        Raises torch.linalg.LinAlgError if A is not positive definite.
        """
        shape = self.quadratic.shape
        in_order = self.quadratic.gather(1, self.order[:, :, None].expand(shape))
        return Factor.of(in_order.gather(2, self.order[:, None, :].expand(shape)))

    @cached_property
    def start(self) -> Tensor:
        """w U of the weights w = b A^-1 of least error, with columns in order and first, (G, n, R).

        U: of the factor.
        """
        in_order = self.linear.gather(2, self.order[:, None, :].expand_as(self.linear))
        return self.factor.start(in_order.mT.contiguous())

    def of(self, rounded: Tensor) -> float:
        """Return the error of all rows together, which may be negative without its constant."""
        return quadratic_form(self.quadratic, rounded) - 2 * float((self.linear * rounded).sum())


@dataclass(frozen=True, eq=False)
class Factor:
    """U and D with A = U D U^T, for each A of a batch.

    upper: U, (G, n, n), upper triangular with ones on the diagonal. pivots: the diagonal of D,
    (G, n).
    """

    upper: Tensor
    pivots: Tensor

    @classmethod
    def of(cls, matrices: Tensor) -> "Factor":
        """Factor matrices of shape (G, n, n).

        Raises torch.linalg.LinAlgError if one is not positive definite.
        """
        lower = torch.linalg.cholesky(matrices.flip(1, 2))
        roots = lower.diagonal(0, 1, 2)
        return cls((lower / roots[:, None, :]).flip(1, 2), roots.square().flip(1))

    def start(self, linear: Tensor) -> Tensor:
        """Return w U of the weights w = b A^-1 of least error.

        linear: b of R rows, columns first, (G, n, R). So is the result.
        """
        start: Tensor = torch.linalg.solve_triangular(
            self.upper, linear, upper=True, unitriangular=True
        )
        return start.div_(self.pivots[:, :, None])


def quadratic_form(matrices: Tensor, rows: Tensor) -> float:
    """Return the sum of q A q^T over all rows q, (G, R, n), with symmetric matrices A, (G, n, n).

    Takes half of the multiplications, because nothing below the diagonal of A is read.
    """
    total = 0.0
    for first in range(0, rows.shape[2], _PANEL):
        part = rows[:, :, first : first + _PANEL]
        products = part @ matrices[:, first : first + _PANEL, first:]
        products[:, :, _PANEL:] *= 2  # stands for what is below the diagonal
        total += float((products * rows[:, :, first:]).sum())
    return total
