"""Follows the channels through a network: which hang together, and which are constant."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from core.compress.channels.calls import RecordedCall, record_calls
from core.compress.channels.classes import ChannelClasses
from core.compress.channels.readers import Kind, LayerChannels
from core.compress.channels.values import (
    ChannelValues,
    constant_outputs,
    scale_and_shift,
    through_function,
    varying,
)

_SUMS = {"add", "add_", "__add__", "__iadd__"}
_PRODUCTS = {"mul", "mul_", "__mul__", "__imul__"}


@dataclass(frozen=True, eq=False)
class NetworkChannels:
    """The channels of a network.

    layers: all layers whose channels can be removed, in the order of their calls.
    fixed: (classes,) bool, the channels that must stay: those of the image, those of the outputs,
    and those of functions that are not understood.
    """

    layers: list[LayerChannels]
    fixed: Tensor


def follow_channels(network: nn.Module, side: int) -> NetworkChannels:
    """Follow the channels of a network in evaluation mode for images of 3 x `side` x `side`.

    The weights decide which channels are constant: only weights that are exactly 0 cut a channel
    off. The network is not changed. Raises what the network raises for images of another size.
    """
    recording = record_calls(network, side)
    walk = _Walk(network, recording.images)
    with torch.no_grad():
        for call in recording.calls:
            walk.follow(call)
    walk.fix(recording.outputs)
    return walk.result()


class _Walk:
    """Goes through the calls, and knows the channels of every tensor."""

    def __init__(self, network: nn.Module, images: Tensor):
        self._modules = dict(network.named_modules())
        self._classes = ChannelClasses()
        self._values: dict[int, ChannelValues] = {}
        self._layers: list[LayerChannels] = []
        self._fixed: list[Tensor] = []
        self.fix(images)

    def result(self) -> NetworkChannels:
        self._fix_layers_that_run_twice()
        roots = self._classes.roots()
        fixed = torch.zeros(len(self._classes), dtype=torch.bool)
        for classes in self._fixed:
            fixed[roots[classes]] = True
        layers = [_with_roots(layer, roots) for layer in self._layers]
        return NetworkChannels(layers, fixed)

    def follow(self, call: RecordedCall) -> None:
        """Find the channels of a call's result. A call that is not understood fixes its inputs."""
        if not isinstance(call.result, Tensor) and not isinstance(call.result, tuple | list):
            return
        values = self._understand(call) if isinstance(call.result, Tensor) else None
        if values is not None:
            self._values[id(call.result)] = values
            return
        for tensor in _tensors_in((call.args, call.options)):
            if id(tensor) in self._values:
                self.fix(tensor)
        self._values.pop(id(call.result), None)

    def fix(self, tensor: Tensor) -> None:
        """Keep all channels of a tensor."""
        self._fixed.append(self._values_of(tensor).classes)

    def _values_of(self, tensor: Tensor) -> ChannelValues:
        """The channels of a tensor. If nothing is known of them, they vary and must stay."""
        if id(tensor) not in self._values:
            classes = self._classes.new(tensor.shape[1])
            self._fixed.append(classes)
            self._values[id(tensor)] = ChannelValues(classes, varying(len(classes)))
        return self._values[id(tensor)]

    def _understand(self, call: RecordedCall) -> ChannelValues | None:
        """Return the channels of the call's result, None if the function is not understood."""
        name = call.function
        if name in ("conv2d", "linear") and call.layer:
            return self._through_weights(call)
        if name == "batch_norm" and call.layer:
            return self._through_batchnorm(call)
        if name == "shortcut":
            return self._through_shortcut(call)
        if name == "cat":
            return self._concatenated(call)
        if name in _SUMS | _PRODUCTS:
            return self._combined(call)
        if not call.args or not isinstance(call.args[0], Tensor):
            return None
        if id(call.args[0]) not in self._values:
            return None
        return through_function(call, self._values_of(call.args[0]))

    def _through_weights(self, call: RecordedCall) -> ChannelValues | None:
        """Follow a convolution or a linear layer, which makes channels of its own."""
        source = call.args[0]
        module = self._modules[call.layer]
        if isinstance(module, nn.Conv2d) and len(call.args) == 7:
            padded = call.args[4] not in (0, (0, 0), "valid")
            groups = call.args[6]
        elif isinstance(module, nn.Linear) and source.ndim == 2:
            padded = False
            groups = 1
        else:
            return None
        values = self._values_of(source)
        weight = module.weight
        if groups == 1:
            classes = self._classes.new(weight.shape[0])
            kind: Kind = "mixing"
            used = weight.ne(0) if weight.ndim == 2 else weight.flatten(2).ne(0).any(2)
        elif groups == source.shape[1] == weight.shape[0]:
            classes = values.classes
            kind = "depthwise"
            used = weight.flatten(1).ne(0).any(1)
        else:
            return None
        used = used.cpu()
        constants = constant_outputs(module, values.constants, used, padded)
        self._add_layer(call, kind, values, classes, used, padded)
        return ChannelValues(classes, constants)

    def _through_batchnorm(self, call: RecordedCall) -> ChannelValues:
        values = self._values_of(call.args[0])
        module = self._modules[call.layer]
        scale, shift = scale_and_shift(module)
        constants = torch.where(scale == 0, shift, values.constants * scale + shift)
        self._add_layer(call, "norm", values, values.classes, torch.empty(0), False)
        return ChannelValues(values.classes, constants)

    def _through_shortcut(self, call: RecordedCall) -> ChannelValues:
        """Follow a shortcut of option A: the channels of its input between channels of zeros."""
        values = self._values_of(call.args[0])
        before = call.run.padding  # type: ignore[attr-defined]  # a PaddedShortcut
        count = len(values.classes)
        classes = self._classes.new(call.result.shape[1])
        constants = torch.zeros(len(classes), dtype=torch.float64)
        constants[before : before + count] = values.constants
        used = torch.zeros(len(classes), count, dtype=torch.bool)
        used[before : before + count] = torch.eye(count, dtype=torch.bool)
        self._add_layer(call, "shortcut", values, classes, used, False)
        return ChannelValues(classes, constants)

    def _add_layer(
        self,
        call: RecordedCall,
        kind: Kind,
        values: ChannelValues,
        outputs: Tensor,
        used: Tensor,
        padded: bool,
    ) -> None:
        self._layers.append(
            LayerChannels(
                name=call.layer,
                kind=kind,
                inputs=values.classes,
                outputs=outputs,
                constants=values.constants,
                used=used,
                padded=padded,
            )
        )

    def _concatenated(self, call: RecordedCall) -> ChannelValues | None:
        dimension = call.args[1] if len(call.args) > 1 else call.options.get("dim", 0)
        if dimension != 1:
            return None
        parts = [self._values_of(tensor) for tensor in call.args[0]]
        return ChannelValues(
            torch.cat([part.classes for part in parts]),
            torch.cat([part.constants for part in parts]),
        )

    def _combined(self, call: RecordedCall) -> ChannelValues | None:
        """Follow a sum or a product of two tensors, or of a tensor and a number."""
        if len(call.args) != 2 or call.options:
            return None
        left, right = call.args
        if not isinstance(left, Tensor) or id(left) not in self._values:
            return None
        first = self._values_of(left)
        is_sum = call.function in _SUMS
        combine: Callable[..., Tensor] = torch.add if is_sum else torch.mul
        if not isinstance(right, Tensor):
            return ChannelValues(first.classes, combine(first.constants, right))
        if left.ndim != right.ndim or left.shape[:2] != right.shape[:2]:
            return None
        second = self._values_of(right)
        self._classes.join(first.classes, second.classes)
        constants = combine(first.constants, second.constants)
        if not is_sum:
            constants[(first.constants == 0) | (second.constants == 0)] = 0.0
        return ChannelValues(first.classes, constants)

    def _fix_layers_that_run_twice(self) -> None:
        """Keep all channels of a module that is called more than once, or whose weight is."""
        names = [layer.name for layer in self._layers]
        for layer in self._layers:
            if names.count(layer.name) > 1:
                self._fixed += [layer.inputs, layer.outputs]


def _tensors_in(values: Any) -> list[Tensor]:
    if isinstance(values, Tensor):
        return [values]
    if isinstance(values, dict):
        values = values.values()
    elif not isinstance(values, tuple | list):
        return []
    return [tensor for value in values for tensor in _tensors_in(value)]


def _with_roots(layer: LayerChannels, roots: Tensor) -> LayerChannels:
    return replace(layer, inputs=roots[layer.inputs], outputs=roots[layer.outputs])
