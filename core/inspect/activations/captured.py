"""Captures the output of every activation function of a network."""

import warnings
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from core.inspect.activations.hooks import ActivationCall, check_layers, observe_activations
from core.inspect.activations.kinds import ACTIVATIONS, IS_GATE, ActivationKinds


@dataclass(frozen=True)
class CapturedActivations:
    """The activations of one forward pass of N images, in the order of the calls.

    logits: (N, classes).
    activations: the output of each captured call, by its key.
    shapes: the output shape of every call, also of those that were not captured.
    axes: the axis of the channels in the output of every call.
    kinds: the kind of every call, such as "ReLU", "Hardswish" or "clamp".
    left_out: the modules and calls that could not be observed or are gates, with the reason.
    """

    logits: Tensor
    activations: dict[str, Tensor]
    shapes: dict[str, torch.Size]
    axes: dict[str, int]
    kinds: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

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
    kinds: ActivationKinds = ACTIVATIONS,
) -> dict[str, Tensor]:
    """Return the output of every activation function, by its key in the order of the calls.

    The outputs are copies made before any later operation changes them in place.

    images: (N, C, H, W) normalised floats. They are moved to the model's device, where the outputs
        stay.
    layers: capture only the calls with these keys, and hold no others in memory.
    kinds: the functions to capture: all rectifiers and smooth activations, or only `RELUS`.

    The model runs in evaluation mode without gradients, and is left unchanged, also after an
    exception. Raises UserError for other images and for an unknown key. Warns about modules whose
    calls cannot be observed; `capture_with_logits` returns their names.
    """
    captured = capture_with_logits(model, images, layers, kinds)
    warn_about_left_out(captured.left_out)
    return captured.activations


def capture_with_logits(
    model: nn.Module,
    images: Tensor,
    layers: Iterable[str] | None = None,
    kinds: ActivationKinds = ACTIVATIONS,
) -> CapturedActivations:
    """Capture like `capture`, and return also the logits and the shapes of all calls.

    `layers=()` captures no output at all.
    """
    wanted = None if layers is None else set(layers)
    activations: dict[str, Tensor] = {}
    shapes: dict[str, torch.Size] = {}
    axes: dict[str, int] = {}
    kinds_by_key: dict[str, str] = {}

    def keep(call: ActivationCall, output: Tensor) -> None:
        shapes[call.key] = output.shape
        axes[call.key] = call.axis
        kinds_by_key[call.key] = call.kind
        if wanted is None or call.key in wanted:
            activations[call.key] = output.clone()

    seen = observe_activations(model, images, keep, kinds)
    check_layers(wanted, shapes)
    return CapturedActivations(seen.logits, activations, shapes, axes, kinds_by_key, seen.left_out)


def describe_left_out(left_out: Mapping[str, str]) -> str:
    """Say in one sentence what was left out and why; "" if nothing was.

    Several modules with the same reason are counted, and the first of them is named.
    """
    if not left_out:
        return ""
    parts = []
    for reason, count in Counter(left_out.values()).items():
        first = next(name for name, other in left_out.items() if other == reason)
        more = f" and {count - 1} more" if count > 1 else ""
        parts.append(f"{first}{more} ({reason})")
    return f"Left out: {'; '.join(parts)}."


def warn_about_left_out(left_out: Mapping[str, str]) -> None:
    """Warn in one sentence about modules that could not be observed, if there are any."""
    unseen = {name: reason for name, reason in left_out.items() if not reason.endswith(IS_GATE)}
    if unseen:
        warnings.warn(describe_left_out(unseen), stacklevel=3)
