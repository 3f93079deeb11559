"""Captures the output of every ReLU call of a network."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from core.inspect.activations.hooks import RELUS, check_layers, observe_activations


@dataclass(frozen=True)
class CapturedActivations:
    """The activations of one forward pass of N images, in the order of the calls.

    logits: (N, classes).
    activations: the output of each captured call, by its key.
    shapes: the output shape of every call, also of those that were not captured.
    axes: the axis of the channels in the output of every call.
    """

    logits: Tensor
    activations: dict[str, Tensor]
    shapes: dict[str, torch.Size]
    axes: dict[str, int]

    def maps(self, key: str, image: int = 0) -> np.ndarray:
        """Return the output of a call for one image as float32, with the channels first.

        The shape is (C, H, W) after a convolution and (C,) after a linear layer.
        """
        channels_second = self.activations[key].movedim(self.axes[key], 1)
        return channels_second[image].float().cpu().numpy()


def capture(
    model: nn.Module,
    images: Tensor,
    layers: Iterable[str] | None = None,
    kinds: Mapping[str, type[nn.Module]] = RELUS,
) -> dict[str, Tensor]:
    """Return the output of every ReLU call, by its key in the order of the calls.

    The outputs are copies made before any later operation changes them in place.

    images: (N, C, H, W) normalised floats. They are moved to the model's device, where the outputs
        stay.
    layers: capture only the calls with these keys, and hold no others in memory.
    kinds: the activations to capture; `ACTIVATIONS` includes the smooth ones.

    The model runs in evaluation mode without gradients, and is left unchanged, also after an
    exception. Raises UserError for other images and for an unknown key.
    """
    return capture_with_logits(model, images, layers, kinds).activations


def capture_with_logits(
    model: nn.Module,
    images: Tensor,
    layers: Iterable[str] | None = None,
    kinds: Mapping[str, type[nn.Module]] = RELUS,
) -> CapturedActivations:
    """Capture like `capture`, and return also the logits and the shapes of all calls.

    `layers=()` captures no output at all.
    """
    wanted = None if layers is None else set(layers)
    activations: dict[str, Tensor] = {}
    shapes: dict[str, torch.Size] = {}
    axes: dict[str, int] = {}

    def keep(key: str, output: Tensor, axis: int) -> None:
        shapes[key] = output.shape
        axes[key] = axis
        if wanted is None or key in wanted:
            activations[key] = output.clone()

    logits = observe_activations(model, images, keep, kinds)
    check_layers(wanted, shapes)
    return CapturedActivations(logits, activations, shapes, axes)
