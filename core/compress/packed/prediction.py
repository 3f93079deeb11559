"""Predicts a weight's level from its neighbours in the kernel that are already coded.

The prediction is the linear one with the least squared error over the weights coded before. Its
sums are exact, and the few equations are solved in plain floats, so every machine predicts the
same.
"""

import numpy as np
from numpy.typing import NDArray

Moments = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Sums of products of the neighbours' levels: with each other (k, k), and with the target (k,)."""

_RIDGE = 5 * 64**2
"""Five imagined weights of the usual size, of which each neighbour predicts its share of ..."""
_SHARE_TENTHS = 6
"""... so many tenths. They decide before there are weights to learn from."""
_KEPT_TENTHS = 3
"""How much of a layer's sums the next layer starts with, in tenths."""
_COEFFICIENT_ONE = 256
"""Coefficients are in 256ths."""
_HIGHEST_COEFFICIENT = 4 * _COEFFICIENT_ONE


def earlier_neighbours(position: int, width: int) -> list[int]:
    """Positions of the left, upper, upper left and upper right neighbour, as far as they exist."""
    row, column = divmod(position, width)
    neighbours = []
    if column:
        neighbours.append(position - 1)
    if row:
        neighbours.append(position - width)
        if column:
            neighbours.append(position - width - 1)
        if column < width - 1:
            neighbours.append(position - width + 1)
    return neighbours


class Predictor:
    """Predicts the levels at one position of the kernel.

    neighbours: number of neighbours k. moments: sums of an earlier layer, if there is one.
    """

    def __init__(self, neighbours: int, moments: Moments | None = None):
        self._products = np.zeros((neighbours, neighbours), np.int64)
        self._targets = np.zeros(neighbours, np.int64)
        if moments is not None:
            products, targets = moments
            self._products += _KEPT_TENTHS * products // 10
            self._targets += _KEPT_TENTHS * targets // 10

    def predict(self, neighbours: NDArray[np.int16]) -> NDArray[np.int32]:
        """The predicted levels (...) of weights whose neighbours have these levels (k, ...)."""
        coefficients = self._coefficients()
        predicted: NDArray[np.int32] = neighbours[0] * np.int32(coefficients[0])
        for levels, coefficient in zip(neighbours[1:], coefficients[1:], strict=True):
            predicted += levels * np.int32(coefficient)
        predicted >>= 8
        return predicted

    def learn(self, neighbours: NDArray[np.int16], targets: NDArray[np.int16]) -> None:
        """Add weights: their neighbours' levels (k, ...) and their own (...)."""
        # Sums in float64 are exact: levels are at most 2^12, so 2^29 products stay below 2^53.
        inputs = neighbours.reshape(len(neighbours), -1).astype(np.float64)
        self._products += (inputs @ inputs.T).astype(np.int64)
        self._targets += (inputs @ targets.ravel().astype(np.float64)).astype(np.int64)

    @property
    def moments(self) -> Moments:
        """All sums."""
        return self._products, self._targets

    def _coefficients(self) -> list[int]:
        """The coefficient of each neighbour, in 256ths."""
        count = len(self._targets)
        equations = [[float(number) for number in row] for row in self._products.tolist()]
        right_side = [float(number) for number in self._targets.tolist()]
        for i in range(count):
            equations[i][i] += _RIDGE
            right_side[i] += _RIDGE * _SHARE_TENTHS // (10 * count)
        solution = _solve(equations, right_side)
        return [_whole_coefficient(number) for number in solution]


def _whole_coefficient(number: float) -> int:
    scaled = round(_COEFFICIENT_ONE * number)
    return min(max(scaled, -_HIGHEST_COEFFICIENT), _HIGHEST_COEFFICIENT)


def _solve(equations: list[list[float]], right_side: list[float]) -> list[float]:
    """Gaussian elimination, without pivots, because the matrix is positive definite."""
    count = len(right_side)
    for i in range(count):
        for j in range(i + 1, count):
            factor = equations[j][i] / equations[i][i]
            for k in range(i, count):
                equations[j][k] -= factor * equations[i][k]
            right_side[j] -= factor * right_side[i]
    solution = [0.0] * count
    for i in reversed(range(count)):
        number = right_side[i]
        for j in range(i + 1, count):
            number -= equations[i][j] * solution[j]
        solution[i] = number / equations[i][i]
    return solution
