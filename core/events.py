"""What a recipe tells the world while it runs: frozen facts, in the order in which they became true.

A recipe is a generator of these. The worker writes them down, the command line prints them, a test lists them, and
a cancel falls between two of them. Every field is plain data, so that an event is one line of `events.jsonl`.
"""

import dataclasses
import time
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Event:
    """Base of all events; `time` is seconds since the epoch (UTC)."""

    time: float = field(default_factory=time.time, kw_only=True)

    def to_dict(self) -> dict:
        """The event as JSON-ready plain data, with its kind under "event"."""
        return {"event": type(self).__name__.lower(), **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Note(Event):
    """A sentence for the log; `level` is "info" or "warning"."""

    text: str
    level: str = "info"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress(Event):
    """`done` of `total` units of `stage` are finished; `total` 0 means that nobody knows how many there are.

    `stage` is a word or two for a person, such as "Downloading CIFAR10" or "Epoch 3 of 70"; `unit` is what is
    counted ("batches", "bytes", "images"). `loss` is the running mean training loss of the stage, where there is one.
    """

    stage: str
    done: int
    total: int
    unit: str = "batches"
    loss: float | None = None

    def __str__(self) -> str:
        return f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}" if self.total else f"{self.stage} ..."


@dataclass(frozen=True)
class Pruned(Event):
    """The masks are chosen: `layers` maps a parameter's name to `[kept, total]` weights."""

    kept: int
    prunable: int
    layers: dict[str, list[int]]

    def __str__(self) -> str:
        return f"Kept {self.kept:,} of {self.prunable:,} weights ({self.kept / self.prunable:.2%})."


@dataclass(frozen=True)
class Quantized(Event):
    """The layers are quantized. `layers` maps a parameter's name to its figures: `weights` in all, `levels` (different
    values, 0 aside where zeros are pinned), `bits` of an index of fixed length, `bytes` as coded in the packed file,
    `snr` in decibels (None where nothing was lost)."""

    layers: dict[str, dict]

    def __str__(self) -> str:
        weights = sum(layer["weights"] for layer in self.layers.values())
        return f"Quantized {weights:,} weights in {len(self.layers)} layers."


@dataclass(frozen=True)
class EpochEnd(Event):
    """One epoch is over. `epoch` counts from 1. Losses are mean cross entropies in nats, accuracies are in [0, 1].

    `train_loss` and `train_accuracy` are means over the epoch's batches as they were trained on (augmented, in
    training mode). `lr` is the rate of the epoch's last step; `images_per_second` counts training images only;
    `train_seconds` is the training time of this epoch, `seconds` that and its evaluation.
    """

    epoch: int
    epochs: int
    train_loss: float
    train_accuracy: float
    test_loss: float
    test_accuracy: float
    lr: float
    images_per_second: float
    train_seconds: float
    seconds: float

    def __str__(self) -> str:
        return (f"Epoch {self.epoch}/{self.epochs}: "
                f"train loss {self.train_loss:.4f}, accuracy {self.train_accuracy:.2%}; "
                f"test loss {self.test_loss:.4f}, accuracy {self.test_accuracy:.2%}; "
                f"lr {self.lr:.3g}, {self.images_per_second:,.0f} images/s")


@dataclass(frozen=True)
class Finished(Event):
    """The recipe is done; `summary` holds the result's figures, under the names that `--json` prints."""

    summary: dict

    def __str__(self) -> str:
        return f"Finished: test accuracy {self.summary['test_accuracy']:.2%}."
