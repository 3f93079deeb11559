"""The protocol that every kind of job follows, and the summary that each of them ends with."""

import contextlib
from collections.abc import Generator, Iterator
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from core.errors import CheckpointError
from core.events import Event, Summary
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.training.history import History


@contextlib.contextmanager
def restoring() -> Iterator[None]:
    """Turn any error of restoring a job's state from its checkpoint into a CheckpointError."""
    try:
        yield
    except MemoryError:
        raise
    except Exception as error:
        raise CheckpointError from error


class Job(Protocol):
    """The work of one recipe.

    `events` does the work. The other methods may be called between any two of its events.
    """

    device: torch.device

    def events(self) -> Generator[Event, None, None]:
        """Do the work, and yield Finished at the end."""

    def checkpoint(self) -> dict[str, Any] | None:
        """Return all that is needed to continue from here, or None if there is nothing to keep."""

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return the tensors of each result file, under the file's name without its suffix."""

    def card(self) -> ModelCard:
        """Return what a reader of the result files must know."""

    def files(self) -> dict[str, bytes]:
        """Return the content of further files of the run's folder, by file name."""


def kept_figures(model: nn.Module) -> dict[str, Any]:
    """Return the figures kept, prunable and density of a network, for `summarize`."""
    weights = prunable_weights(model).values()
    prunable = sum(weight.numel() for weight in weights)
    kept = sum(int(weight.count_nonzero()) for weight in weights)
    return {"kept": kept, "prunable": prunable, "density": kept / prunable}


def summarize(
    card: ModelCard,
    device: torch.device,
    history: History,
    *,
    kept: int,
    prunable: int,
    density: float,
    test_accuracy: float,
    test_images: int,
    **optional_figures: Any,
) -> Summary:
    """Return the summary of a job that trained for the epochs of `history`, possibly none.

    optional_figures: fields of Summary that only some jobs have, such as `packed_bytes`.
    """
    return Summary(
        model=card.model,
        dataset=card.dataset,
        density=density,
        kept=kept,
        prunable=prunable,
        epochs=len(history.rows),
        test_accuracy=test_accuracy,
        best_accuracy=test_accuracy if history.best_accuracy is None else history.best_accuracy,
        best_by=history.best_by,
        test_images=test_images,
        classes=len(card.classes),
        train_seconds=history.train_seconds,
        images_per_second=history.images_per_second,
        device=str(device),
        **optional_figures,
    )
