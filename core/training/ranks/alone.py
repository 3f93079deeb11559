"""The other processes of a training, as a step calls them; here there are none."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from core.training.device import choose_device

Position = tuple[int, int]
"""An epoch, counted from 1, and a batch of it, counted from 0."""


class Alone:
    """One process that takes whole batches. `ProcessGroup` is the same for several processes.

    rank: number of this process, from 0. count: number of processes.
    """

    rank = 0
    count = 1

    def device(self, name: str) -> torch.device:
        """Return the device of this process for the device of a recipe. Raises UserError."""
        return choose_device(name)

    def join_(self, model: nn.Module) -> list[str]:
        """Let BatchNorm use the statistics of the whole batch; mutates the model.

        Returns the names of the layers that cannot, and use those of this process's images.
        """
        return []

    def share_state(self, state: Mapping[str, Any]) -> None:
        """Give the other processes the state that all begin with. Only for rank 0."""

    def announce(self, position: Position) -> None:
        """Begin the step at a position, in all processes. Only for rank 0."""

    def part_of(self, indices: Tensor) -> Tensor:
        """Return this process's part of the image indices of a batch. There is always one."""
        return indices

    def weighted(self, loss: Tensor) -> Tensor:
        """Turn the mean loss of the part into the summand of the mean loss of the batch."""
        return loss

    def add_up_(self, model: nn.Module, loss_sum: Tensor, correct: Tensor) -> tuple[Tensor, Tensor]:
        """Add up the gradients and both figures over all processes; mutates the gradients."""
        return loss_sum, correct
