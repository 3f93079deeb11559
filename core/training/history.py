"""The figures of the epochs that a training has finished, and the weights of the best of them."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor

from core.accuracy import ChosenBy, best_epoch, chosen_by
from core.events import EpochEnd


class History:
    """The finished epochs of a training or tuning.

    rows: the fields of each epoch's EpochEnd, and `images`, the number of its training images.
    best: a copy of the state dict after the best epoch, as `core.accuracy.best_epoch` chooses it;
    empty before the first epoch ends.
    """

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []
        self.best: dict[str, Tensor] = {}

    def add(self, end: EpochEnd, images: int, state: Mapping[str, Tensor]) -> None:
        """Record an epoch of `images` training images, after which the network has this `state`."""
        self.rows.append(asdict(end) | {"images": images})
        if best_epoch(self.rows) is self.rows[-1]:
            self.best = copied(state)

    @property
    def best_accuracy(self) -> float | None:
        """The test accuracy of the best epoch, None before the first epoch ends."""
        return best_epoch(self.rows)["test_accuracy"] if self.rows else None

    @property
    def best_by(self) -> ChosenBy | None:
        """How the best epoch is chosen, None before the first epoch ends."""
        return chosen_by(self.rows[-1]) if self.rows else None

    @property
    def train_seconds(self) -> float:
        """Time spent on training steps, in seconds."""
        return float(sum(row["train_seconds"] for row in self.rows))

    @property
    def images_per_second(self) -> float:
        """Mean training speed, 0 if nothing was trained."""
        if not self.rows:
            return 0.0
        return sum(row["images"] for row in self.rows) / self.train_seconds

    def checkpoint(self) -> dict[str, Any]:
        """Return all that `restore` needs."""
        return {"history": self.rows, "best": self.best}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned."""
        self.rows = saved["history"]
        self.best = saved["best"]


def copied(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return a contiguous copy of every tensor of a state dict, on the same device."""
    return {
        name: tensor.detach().clone(memory_format=torch.contiguous_format)
        for name, tensor in state.items()
    }
