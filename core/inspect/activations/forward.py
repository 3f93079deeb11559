"""Runs one network on one image, and on batches: its probabilities and all its activations."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
import torch
from torch import Tensor, nn

from core.data.batches import normalise
from core.inspect.activations.captured import CapturedActivations
from core.inspect.activations.hooks import ActivationCall, observe_activations
from core.inspect.activations.statistics import (
    ChannelStatistics,
    channel_statistics,
    measure_channels,
)
from core.models.card import ModelCard

one_at_a_time = threading.Lock()
"""Hold it while a network runs that other threads may use.

With two forward passes of one network at once, the hooks of one would be added and removed while
the other runs.
"""


@dataclass(frozen=True, eq=False)
class ForwardPass:
    """The activations of one network on one image, on the CPU.

    captured: the logits and the output of every activation function.
    source_weights: for each call, the names of the weights whose output channels are its channels.
    """

    captured: CapturedActivations
    source_weights: dict[str, tuple[str, ...]]

    @property
    def shapes(self) -> dict[str, torch.Size]:
        """The output shape of every call, in the order of the calls."""
        return self.captured.shapes

    @cached_property
    def probabilities(self) -> np.ndarray:
        """The probability of each class: (classes,), with the sum 1."""
        return self.captured.logits[0].double().softmax(0).numpy()

    @cached_property
    def statistics(self) -> dict[str, ChannelStatistics]:
        """The statistics of every call for this image."""
        axes = self.captured.axes
        return {
            key: channel_statistics(output, axes[key])
            for key, output in self.captured.activations.items()
        }

    def maps(self, key: str) -> np.ndarray:
        """Return the output of a call as float32: (C, H, W), or (C,) after a linear layer."""
        return self.captured.maps(key)


def run_forward(model: nn.Module, image: np.ndarray, card: ModelCard) -> ForwardPass:
    """Run the model on one uint8 image (3, side, side). The model is left unchanged."""
    activations: dict[str, Tensor] = {}
    axes: dict[str, int] = {}
    kinds: dict[str, str] = {}
    source_weights: dict[str, tuple[str, ...]] = {}
    # The weights that were used since the last activation, with their output channels.
    used: list[tuple[str, int]] = []

    def keep(call: ActivationCall, output: Tensor) -> None:
        activations[call.key] = output.to("cpu", copy=True)
        axes[call.key] = call.axis
        kinds[call.key] = call.kind
        width = output.shape[call.axis]
        source_weights[call.key] = tuple(name for name, channels in used if channels == width)
        used.clear()

    batch = normalise(image[None], card.mean, card.std)
    with one_at_a_time, _recorded_weights(model, used):
        seen = observe_activations(model, batch, keep)
    shapes = {key: output.shape for key, output in activations.items()}
    captured = CapturedActivations(
        seen.logits.cpu(), activations, shapes, axes, kinds, seen.left_out
    )
    return ForwardPass(captured, source_weights)


@contextmanager
def _recorded_weights(model: nn.Module, used: list[tuple[str, int]]) -> Iterator[None]:
    """Append the name and the output channels of each weight to `used` when its module has run.

    Weights with a single dimension, such as those of BatchNorm, are left out.
    """

    def record(entry: tuple[str, int], *_: object) -> None:
        used.append(entry)

    with ExitStack() as hooks:
        for name, module in model.named_modules():
            weight = getattr(module, "weight", None)
            if isinstance(weight, Tensor) and weight.ndim > 1:
                entry = (f"{name}.weight".lstrip("."), len(weight))
                hook = module.register_forward_hook(partial(record, entry))
                hooks.callback(hook.remove)
        yield


def running_statistics(
    model: nn.Module, images: np.ndarray, card: ModelCard, batch_size: int = 16
) -> Iterator[dict[str, ChannelStatistics]]:
    """Yield the statistics of every activation function over all images so far, after each batch.

    images: uint8 (N, 3, side, side).
    """
    total: dict[str, ChannelStatistics] = {}
    for start in range(0, len(images), batch_size):
        batch = normalise(images[start : start + batch_size], card.mean, card.std)
        with one_at_a_time:
            statistics = measure_channels(model, batch)
        if total:
            statistics = {key: total[key] + value for key, value in statistics.items()}
        total = statistics
        yield total
