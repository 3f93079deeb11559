"""The layers that mix channels, and which of their inputs they need."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Kind = Literal["mixing", "depthwise", "norm", "shortcut"]


@dataclass(frozen=True, eq=False)
class LayerChannels:
    """A layer and the classes of its channels.

    name: dotted name of the module.
    kind: "mixing" for a convolution or a linear layer that reads all inputs for each output;
    "depthwise" for a convolution of one filter a channel; "norm" for BatchNorm; "shortcut" for a
    `PaddedShortcut`.
    inputs, outputs: the classes of the channels, (in,) and (out,).
    constants: (in,) float64, the value of an input that is the same for every image and position,
    else NaN.
    used: (out, in) bool, whether an output depends on an input; (out,) for a depthwise
    convolution, and empty for BatchNorm.
    padded: whether zeros are added around the image, so that a constant is none at the border.
    """

    name: str
    kind: Kind
    inputs: Tensor
    outputs: Tensor
    constants: Tensor
    used: Tensor
    padded: bool


def needed_inputs(layer: LayerChannels, needed: Tensor) -> Tensor:
    """Find the inputs that must stay for the outputs that stay: the indices of the channels.

    needed: (classes,) bool. An input that varies must stay if a needed output uses it. A constant
    one can be folded into the bias. A padded convolution folds all of its constants into the
    largest one of them, which stays.
    """
    if layer.kind in ("norm", "depthwise"):
        return torch.empty(0, dtype=torch.long)  # their inputs and outputs are of one class
    used = used_inputs(layer, needed)
    indices: Tensor = (used & layer.constants.isnan()).nonzero().flatten()
    if layer.kind == "shortcut":
        return (used & (layer.constants != 0)).nonzero().flatten()
    if layer.padded:
        representative = largest_constant(layer, used)
        if representative is not None:
            return torch.cat([indices, torch.tensor([representative])])
    return indices


def used_inputs(layer: LayerChannels, needed: Tensor) -> Tensor:
    """Which inputs a needed output depends on: (in,) bool."""
    return layer.used[needed[layer.outputs]].any(0)


def largest_constant(layer: LayerChannels, used: Tensor) -> int | None:
    """The used input with the largest constant that is not 0, or None if there is none."""
    sizes = layer.constants.abs().nan_to_num(0.0) * used
    if not sizes.any():
        return None
    return int(sizes.argmax())


def needed_channels(layers: list[LayerChannels], fixed: Tensor) -> Tensor:
    """Find the channels that must stay: (classes,) bool.

    fixed: (classes,) bool, the channels that stay in any case. From them the needs go back through
    the layers until nothing changes. Every layer keeps at least one channel.
    """
    needed = fixed.clone()
    while True:
        count = int(needed.sum())
        for layer in reversed(layers):
            needed[layer.inputs[needed_inputs(layer, needed)]] = True
        if int(needed.sum()) > count:
            continue
        empty = [layer for layer in layers if not needed[layer.outputs].any()]
        if not empty:
            return needed
        needed[empty[-1].outputs[0]] = True
