"""Records the functions that a network calls for an image, with the layers that call them."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

from core.models.meta import meta_copy
from core.models.networks import PaddedShortcut

IMAGES = 2
"""Images in the recorded batch. More than one, so that no function can drop the dimension."""


@dataclass(frozen=True, eq=False)
class RecordedCall:
    """A function that was called.

    function: its name, such as "conv2d" or "add_"; "shortcut" for a whole `PaddedShortcut`.
    run: the function itself, from (*args, **options).
    layer: dotted name of the module that owns the weight or the running mean, "" if there is none.
    result: what the function returned, on the meta device.
    """

    function: str
    run: Callable[..., Any]
    args: tuple[Any, ...]
    options: dict[str, Any]
    layer: str
    result: Any


@dataclass(frozen=True, eq=False)
class Recording:
    """The calls of a forward pass in evaluation mode, in order.

    images: the batch (IMAGES, 3, side, side) that went in. outputs: what came out.
    """

    images: Tensor
    outputs: Tensor
    calls: list[RecordedCall]


def record_calls(network: nn.Module, side: int) -> Recording:
    """Run a copy of the network without weights on torch's meta device, and record its calls.

    side: height and width of an image. The network is not changed. Raises what the network raises
    for images that it cannot take.
    """
    network = meta_copy(network).float().eval()
    images = torch.empty(IMAGES, 3, side, side, device="meta")
    with torch.no_grad(), _Recorder(network) as recorder:
        outputs = network(images)
    return Recording(images, outputs, recorder.calls)


class _Recorder(TorchFunctionMode):
    """Writes down the calls while it is active; a shortcut's own calls count as one."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.calls: list[RecordedCall] = []
        self._owners = _owners(network)
        self._in_shortcut = False
        for name, module in network.named_modules():
            if isinstance(module, PaddedShortcut):
                module.register_forward_pre_hook(self._enter_shortcut)
                module.register_forward_hook(self._leave_shortcut(name))

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        options = kwargs or {}
        result = func(*args, **options)
        if not self._in_shortcut:
            layer = self._layer_of(args, options)
            name = getattr(func, "__name__", "")
            self.calls.append(RecordedCall(name, func, _snapshot(args), options, layer, result))
        return result

    def _layer_of(self, args: tuple[Any, ...], options: dict[str, Any]) -> str:
        for value in (*args, *options.values()):
            if isinstance(value, Tensor) and value in self._owners:
                return self._owners[value]
        return ""

    def _enter_shortcut(self, module: nn.Module, args: tuple[Any, ...]) -> None:
        self._in_shortcut = True

    def _leave_shortcut(self, name: str) -> Callable[..., None]:
        def hook(module: nn.Module, args: tuple[Any, ...], result: Tensor) -> None:
            self._in_shortcut = False
            self.calls.append(RecordedCall("shortcut", module, args, {}, name, result))

        return hook


def _snapshot(args: tuple[Any, ...]) -> tuple[Any, ...]:
    """Arguments with copies of lists. DenseNet goes on appending to a list that it has passed."""
    return tuple(tuple(value) if isinstance(value, list) else value for value in args)


def _owners(network: nn.Module) -> dict[Tensor, str]:
    """The layers whose channels can be removed, by the tensor that their function gets."""
    owners: dict[Tensor, str] = {}
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            owners[module.weight] = name
        elif isinstance(module, _BatchNorm) and module.running_mean is not None:
            owners[module.running_mean] = name
    return owners
