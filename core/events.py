"""The events that a recipe yields while it runs.

A recipe is a generator of events, in the order in which they happened. The worker writes them to a
file, the command line prints them, a test lists them, and a run can be cancelled between two of
them. Every field is plain data, so that an event is one line of `events.jsonl`.
"""

import dataclasses
import time
from collections.abc import Generator
from dataclasses import dataclass, field
from typing import Any, Literal, NotRequired, TypedDict, TypeVar

from pydantic import BaseModel, ConfigDict

from core.accuracy import ChosenBy, guessing_text, interval_text, is_guessing
from core.config import Precision

_Result = TypeVar("_Result")


class Summary(BaseModel):
    """The figures of a finished run, under the names that `--json` prints.

    Accuracies are fractions of the test images, in [0, 1]. A figure is None where the recipe does
    not have it.

    model: name of the network. dataset: name of the data set that it was tested on.
    density: fraction of the prunable weights that is kept, in (0, 1].
    kept: number of prunable weights that are kept. prunable: number of all prunable weights.
    epochs: number of epochs that were trained. test_accuracy: accuracy of the resulting network.
    best_accuracy: test accuracy of the best epoch. best_by: how that epoch was chosen, None if no
    epoch was trained. test_loss: mean cross entropy in nats.
    test_images: number of test images. classes: number of classes.
    precision: number format of the training steps.
    train_seconds: time spent on training steps. images_per_second: training images per second.
    device: name of the device that did the work. parent_accuracy: accuracy before quantization.
    float_bytes: size of all tensors uncompressed. packed_bytes: size of the packed file.
    onnx_bytes: size of the ONNX file with 8-bit integer layers.
    test_half: the half of the test images that all accuracies are of, None for all test images. The
    other half decided about a limit of accuracy. lost_interval: 95% interval of the percentage
    points of accuracy that were lost, from the answers to the same images before and after.
    half_a_accuracy: accuracy of the resulting network on the other half. By it the best of several
    runs is chosen, so that half B can report.
    milliseconds: time of one image in float without the removed channels, of the median call.
    parent_milliseconds: the same before. speedup: how many times faster that is, in the median
    round of both. speedup_interval: its 95% interval.
    """

    model_config = ConfigDict(frozen=True)

    model: str
    dataset: str
    density: float
    kept: int
    prunable: int
    epochs: int
    test_accuracy: float
    best_accuracy: float
    test_loss: float | None = None
    train_seconds: float
    images_per_second: float
    device: str
    parent_accuracy: float | None = None
    float_bytes: int | None = None
    packed_bytes: int | None = None
    onnx_bytes: int | None = None
    best_by: ChosenBy | None = None
    test_images: int | None = None
    classes: int | None = None
    precision: Precision | None = None
    test_half: Literal["B"] | None = None
    lost_interval: tuple[float, float] | None = None
    half_a_accuracy: float | None = None
    milliseconds: float | None = None
    parent_milliseconds: float | None = None
    speedup: float | None = None
    speedup_interval: tuple[float, float] | None = None

    @property
    def guessing(self) -> bool:
        """Whether the network is no better than guessing. False if that is not known."""
        if self.test_images is None or self.classes is None:
            return False
        return is_guessing(self.test_accuracy, self.test_images, self.classes)

    def to_dict(self) -> dict[str, Any]:
        """Return the figures that this recipe has, as JSON-ready plain data."""
        return self.model_dump(exclude_none=True)

    def accuracy_text(self) -> str:
        """Return the test accuracy in words, with its 95% interval, and whether it is a guess's."""
        text = f"{self.test_accuracy:.2%}"
        if self.test_images:
            text += f" ({interval_text(self.test_accuracy, self.test_images)})"
        if self.test_half:
            text += f" on half {self.test_half} of the test images"
        if self.guessing and self.classes:
            text += f", {guessing_text(self.classes)}"
        return text


@dataclass(frozen=True)
class Event:
    """The base of all events. `time` is in seconds since the epoch (UTC)."""

    time: float = field(default_factory=time.time, kw_only=True)

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready plain data, with its kind under "event"."""
        return {"event": type(self).__name__.lower(), **dataclasses.asdict(self)}


@dataclass(frozen=True)
class Note(Event):
    """A sentence for the log. `level` is "info" or "warning"."""

    text: str
    level: str = "info"

    def __str__(self) -> str:
        return self.text


@dataclass(frozen=True)
class Progress(Event):
    """The progress of one stage: `done` of `total` units are finished.

    stage: a word or two for a person, such as "Downloading CIFAR10" or "Epoch 3 of 70".
    total: 0 if the number of units is unknown. unit: the things that are counted ("batches",
    "bytes", "images"). loss: running mean of the training loss in this stage, or None.
    """

    stage: str
    done: int
    total: int
    unit: str = "batches"
    loss: float | None = None

    def __str__(self) -> str:
        if not self.total:
            return f"{self.stage} ..."
        return f"{self.stage}: {self.done:,} of {self.total:,} {self.unit}"


@dataclass(frozen=True)
class Pruned(Event):
    """The masks are chosen. `layers` maps a parameter's name to its `[kept, total]` weights."""

    kept: int
    prunable: int
    layers: dict[str, list[int]]

    def __str__(self) -> str:
        return f"Kept {self.kept:,} of {self.prunable:,} weights ({self.kept / self.prunable:.2%})."


class QuantizedLayer(TypedDict):
    """The figures of one layer after quantization.

    weights: number of weights in the layer. levels: number of different values that they have,
    without zero where pruned weights stay zero. bits: bits of an index of fixed length.
    bytes: size of the layer in the packed file. snr: signal-to-noise ratio in decibels, None if
    quantization changed nothing. pinned_zeros: number of pruned weights that stay zero, which
    older runs did not write down.
    nearest_error, output_error: of compensated rounding, before any tuning. The mean squared
    difference from the float network's outputs of the layer, as a share of their mean square; with
    nearest and with compensated rounding, on the training images that were rounded on.
    """

    weights: int
    levels: int
    bits: int
    bytes: int
    snr: float | None
    pinned_zeros: NotRequired[int]
    nearest_error: NotRequired[float]
    output_error: NotRequired[float]


@dataclass(frozen=True)
class Quantized(Event):
    """The layers are quantized. `layers` maps a parameter's name to its figures.

    A run that tunes reports them twice: at the start, and again when it is `tuned`. The last ones
    are those of the packed file.
    """

    layers: dict[str, QuantizedLayer]
    tuned: bool = False

    def __str__(self) -> str:
        if self.tuned:
            return f"Measured the {len(self.layers)} layers after tuning."
        weights = sum(layer["weights"] for layer in self.layers.values())
        return f"Quantized {weights:,} weights in {len(self.layers)} layers."


@dataclass(frozen=True)
class CandidateFigures:
    """A choice for all layers and what it costs.

    bytes: size of its packed file. divergence: mean Kullback-Leibler divergence, in nats, from the
    float network's answers on blends of held-back training images. layers: each layer's choice by
    parameter name, {"clusters": 5}, {"clusters": 5, "density": 0.5} or {"bits": 4}. epochs: of
    tuning. lost: percentage points of accuracy that it loses on half A of the test images, None
    where no limit asks for it. most_lost: the upper end of the 95% interval of `lost`, which a
    limit is held against.
    """

    bytes: int
    divergence: float
    layers: dict[str, dict[str, float]]
    epochs: int = 0
    lost: float | None = None
    most_lost: float | None = None


@dataclass(frozen=True)
class Candidate(CandidateFigures, Event):
    """A choice for all layers was tried together on the whole network."""

    def __str__(self) -> str:
        text = f"Candidate: {self.bytes:,} bytes, KL divergence {self.divergence:.4f} nats"
        if self.epochs:
            text += f", tuned for {self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}"
        if self.lost is not None:
            text += f", {self.lost:.2f} points lost on half A of the test images"
        if self.most_lost is not None:
            text += f", at most {self.most_lost:.2f}"
        return f"{text}."


@dataclass(frozen=True)
class ThinnedFigures:
    """A network without some of its channels, and how fast and how close it is.

    method: by which the channels were chosen. density: fraction of the prunable weights that is
    kept. divergence: as in CandidateFigures. parent_milliseconds, milliseconds: time of one image
    before and after, of the median call. speedup: how many times faster it is, in the median round
    of both. least, most: the ends of its 95% interval. epochs: of tuning.
    """

    method: str
    density: float
    divergence: float
    parent_milliseconds: float
    milliseconds: float
    speedup: float
    least: float
    most: float
    epochs: int = 0


@dataclass(frozen=True)
class ThinnedCandidate(ThinnedFigures, Event):
    """A network without some of its channels was tried, for a limit of time."""

    def __str__(self) -> str:
        text = (
            f"Candidate: {self.density:.2%} of the weights kept by {self.method},"
            f" {self.speedup:.2f}x as fast (95% {self.least:.2f} to {self.most:.2f}),"
            f" KL divergence {self.divergence:.4f} nats"
        )
        if self.epochs:
            text += f", tuned for {self.epochs} {'epoch' if self.epochs == 1 else 'epochs'}"
        return f"{text}."


_TUNED_MARGIN = 1.05
"""How much closer to the float network a tuned candidate must be to beat one that is not tuned.

Tuning fits the network to training images, and blends of training images judge. So it looks a
little better than it is: on a ResNet-20 in 63,500 bytes, by 4% after a quarter of an epoch.
"""


def judged_divergence(divergence: float, epochs: int) -> float:
    """Return the divergence by which candidates of a budget compete. epochs: of tuning."""
    return divergence * _TUNED_MARGIN if epochs else divergence


@dataclass(frozen=True)
class LayersMeasured(Event):
    """Each layer was measured with all other layers in float, before a search.

    layers: the options of each layer by parameter name, by ascending bytes. An option is its choice
    as in CandidateFigures, its `bytes` in the packed file, and its `damage`: the mean
    Kullback-Leibler divergence, in nats, from the float network's answers.
    """

    layers: dict[str, list[dict[str, float]]]

    def __str__(self) -> str:
        options = sum(len(options) for options in self.layers.values())
        return f"Options to choose from: {options:,}, of {len(self.layers)} layers."


@dataclass(frozen=True)
class EpochEnd(Event):
    """An epoch is over. Losses are mean cross entropies in nats, accuracies are in [0, 1].

    epoch: number of the epoch, counted from 1. epochs: number of epochs in the whole run.
    train_loss, train_accuracy: means over the batches of the epoch, as they were trained on
    (augmented, in training mode). test_loss, test_accuracy: measured on the test images after the
    epoch. lr: learning rate of the last step. images_per_second: training images per second of
    training. train_seconds: training time of this epoch. seconds: the same plus the evaluation.
    validation_loss, validation_accuracy: measured on training images that were held back.
    divergence: mean Kullback-Leibler divergence, in nats, from the float network's answers on them.
    density: fraction of the prunable weights that is left, where it falls during the run. These
    four are None where they are not measured.
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
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    divergence: float | None = None
    density: float | None = None

    def __str__(self) -> str:
        return (
            f"Epoch {self.epoch}/{self.epochs}: "
            f"train loss {self.train_loss:.4f}, accuracy {self.train_accuracy:.2%}; "
            f"{self._validation_text()}"
            f"test loss {self.test_loss:.4f}, accuracy {self.test_accuracy:.2%}; "
            f"lr {self.lr:.3g}, {self.images_per_second:,.0f} images/s"
        )

    def _validation_text(self) -> str:
        if self.validation_loss is None or self.validation_accuracy is None:
            return ""
        text = (
            f"validation loss {self.validation_loss:.4f}, accuracy {self.validation_accuracy:.2%}"
        )
        if self.divergence is not None:
            text += f", KL divergence {self.divergence:.4f} nats"
        return f"{text}; "


@dataclass(frozen=True)
class Finished(Event):
    """The recipe is done. `summary` holds the figures of its result."""

    summary: Summary

    def to_dict(self) -> dict[str, Any]:
        """Return the event as JSON-ready plain data, without the figures that are None."""
        return super().to_dict() | {"summary": self.summary.to_dict()}

    def __str__(self) -> str:
        return f"Finished: test accuracy {self.summary.accuracy_text()}."


def result_of(events: Generator[Event, None, _Result]) -> _Result:
    """Run `events` to the end, and return the generator's value."""
    while True:
        try:
            next(events)
        except StopIteration as end:
            result: _Result = end.value
            return result
