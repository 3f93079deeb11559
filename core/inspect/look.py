"""One network looking at one picture: what it takes it for, what every ReLU puts out, and the weights behind each."""

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor, nn

from core.inspect.activations import Captured, observe
from core.inspect.channels import ChannelStatistics, measure, statistics
from core.models.saved import Facts

_looking = threading.Lock()  # of two looks at one network, one's hooks would come and go while the other's run


@dataclass(frozen=True, eq=False)
class Look:
    """What `look` saw of one picture, on the CPU: every ReLU call by its key, in call order.

    weights: by a call's key, the names of the weights whose output channels went into its own.
    """

    captured: Captured
    weights: dict[str, tuple[str, ...]]

    @property
    def shapes(self) -> dict[str, torch.Size]:
        return self.captured.shapes

    @cached_property
    def probabilities(self) -> np.ndarray:
        """(classes,), summing to 1."""
        return self.captured.logits[0].double().softmax(0).numpy()

    @cached_property
    def statistics(self) -> dict[str, ChannelStatistics]:
        """Of this picture, by call."""
        captured = self.captured
        return {key: statistics(output, captured.axes[key]) for key, output in captured.activations.items()}

    def maps(self, key: str) -> np.ndarray:
        """A call's output as float32: (C, H, W), or (C,) after a linear layer."""
        return self.captured.maps(key)


def normalised(images: np.ndarray, facts: Facts) -> Tensor:
    """uint8 (N, 3, H, W) as the network takes them: floats of about mean 0."""
    mean, std = (torch.tensor(values).view(1, -1, 1, 1) for values in (facts.mean, facts.std))
    return (torch.tensor(images).float() / 255 - mean) / std


def look(model: nn.Module, image: np.ndarray, facts: Facts) -> Look:
    """Show the model one image, uint8 (3, side, side). The model is left as it was."""
    kept: dict[str, Tensor] = {}
    axes: dict[str, int] = {}
    weights: dict[str, tuple[str, ...]] = {}
    since: list[tuple[str, int]] = []  # the weights used since the last ReLU, with their output channels

    def see(key: str, output: Tensor, axis: int) -> None:
        kept[key], axes[key] = output.to("cpu", copy=True), axis
        weights[key] = tuple(name for name, channels in since if channels == output.shape[axis])
        since.clear()

    with _looking, ExitStack() as hooks:
        for name, module in model.named_modules():
            if isinstance(weight := getattr(module, "weight", None), Tensor) and weight.ndim > 1:
                entry = (f"{name}.weight".lstrip("."), len(weight))
                hooks.callback(module.register_forward_hook(lambda *_, entry=entry: since.append(entry)).remove)
        logits = observe(model, normalised(image[None], facts), see)
    return Look(Captured(logits.cpu(), kept, {key: output.shape for key, output in kept.items()}, axes), weights)


def totals(model: nn.Module, images: np.ndarray, facts: Facts, size: int = 16
           ) -> Iterator[dict[str, ChannelStatistics]]:
    """The statistics of every ReLU over uint8 images (N, 3, side, side): after every `size`, of all until then."""
    total: dict[str, ChannelStatistics] = {}
    for start in range(0, len(images), size):
        with _looking:
            part = measure(model, normalised(images[start:start + size], facts))
        total = {key: total[key] + value for key, value in part.items()} if total else part
        yield total
