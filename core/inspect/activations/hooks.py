"""Observes the output of every ReLU call while a network runs.

Each call is observed in exactly one of two ways. A call of an activation *module*, such as
`nn.ReLU`, is observed by a forward hook. A call of an activation *function*, such as `F.relu`,
`torch.relu` or `Tensor.relu_`, is observed by a `TorchFunctionMode`, unless an activation module
calls it.

The key of a call reads like the network:

- "layer1.0.relu" is the first call of that module, and "layer1.0.relu:2" its second.
- "layer1.0/relu:1" is the first `relu` function that the module "layer1.0" itself calls.
- "/relu:1" is the first `relu` function that the network itself calls.

Functions called by compiled or scripted code cannot be observed. Modules compiled with
`torch.compile` therefore run uncompiled meanwhile.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from core.errors import UserError
from core.models.state import preserve_state

RELUS: dict[str, type[nn.Module]] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
}
"""The rectifiers, which are observed by default: the function's name -> the module's class."""

ACTIVATIONS: dict[str, type[nn.Module]] = RELUS | {
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "softplus": nn.Softplus,
    "tanh": nn.Tanh,
}
"""The rectifiers and the smooth activations, for networks with few ReLUs or none (EfficientNet,
ConvNeXt, the transformers)."""

ActivationCallback = Callable[[str, Tensor, int], None]
"""Receives the key of a call, its output, and the axis of the output's channels."""

_CHANNELS_LAST_AFTER = {F.linear: True, F.conv1d: False, F.conv2d: False, F.conv3d: False}
"""Whether the channels are on the last axis after a call of this function."""


def observe_activations(
    model: nn.Module,
    images: Tensor,
    callback: ActivationCallback,
    kinds: Mapping[str, type[nn.Module]] = RELUS,
) -> Tensor:
    """Run the model on the images, call `callback` right after each activation, return the logits.

    The callback receives the network's own tensor, which the next operation may overwrite: it must
    copy what it keeps. The model runs in evaluation mode without gradients, and is left unchanged,
    also after an exception. Raises UserError for images that are not floats (N, C, H, W).
    """
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        dtype = str(images.dtype).removeprefix("torch.")
        raise UserError(
            "images must be one or more normalised floats (N, C, H, W), "
            f"got {dtype} {tuple(images.shape)}"
        )
    device = next(model.parameters(), images).device
    # A copy, because a network that begins with an operation in place would change the original.
    images = images.to(device, copy=True)
    observer = _ActivationObserver(callback, kinds)
    with (
        preserve_state(model),
        torch.no_grad(),
        _without_compilation(model),
        observer.attached_to(model),
    ):
        model.eval()
        return model(images)


def check_layers(layers: set[str] | None, keys: Iterable[str]) -> None:
    """Raise UserError if one of the layers is not among the keys of the network's calls."""
    keys = list(keys)
    unknown = (layers or set()).difference(keys)
    if not unknown:
        return
    choices = ", ".join(keys[:5]) or "none, for there is no such call"
    if len(keys) > 5:
        choices += f" ... ({len(keys)} in all)"
    raise UserError(f"layers must be among {choices}, got {min(unknown)!r}")


class _ActivationObserver(TorchFunctionMode):
    """Calls `callback` after each activation of a model, in the thread that made the observer.

    Other threads may run the same model at the same time; their calls are ignored.
    """

    def __init__(self, callback: ActivationCallback, kinds: Mapping[str, type[nn.Module]]):
        super().__init__()
        self._callback = callback
        self._modules = tuple(kinds.values())
        self._functions = _activation_functions(kinds)
        self._running: list[tuple[str, nn.Module]] = []
        self._calls: Counter[str] = Counter()
        self._channels_last = False
        self._thread = threading.get_ident()

    @contextmanager
    def attached_to(self, model: nn.Module) -> Iterator[None]:
        """Observe what the model calls within this context."""
        with ExitStack() as stack:
            for name, module in model.named_modules():
                # The wrapper of torch.compile adds a part to the name.
                name = name.replace("_orig_mod.", "").removesuffix("_orig_mod")
                enter = module.register_forward_pre_hook(partial(self._enter, name))
                stack.callback(enter.remove)
                leave = module.register_forward_hook(partial(self._leave, name))
                stack.callback(leave.remove)
            stack.enter_context(self)
            yield

    def _enter(self, name: str, module: nn.Module, args: tuple) -> None:
        if threading.get_ident() == self._thread:
            self._running.append((name, module))

    def _leave(self, name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        if threading.get_ident() != self._thread:
            return
        # An exception that the network caught itself may have left modules above this one.
        while self._running.pop() != (name, module):
            pass
        if isinstance(module, self._modules):
            key = name or type(module).__name__
            self._calls[key] += 1
            call = self._calls[key]
            self._report(key if call == 1 else f"{key}:{call}", output)

    def __torch_function__(
        self,
        function: Callable[..., Any],
        types: Any,
        args: tuple = (),
        kwargs: dict | None = None,
    ) -> Any:
        # The mode is off in here, so that the torch.relu inside F.relu is not observed.
        output = function(*args, **(kwargs or {}))
        self._channels_last = _CHANNELS_LAST_AFTER.get(function, self._channels_last)
        if function in self._functions and self._running:
            name, module = self._running[-1]
            if not isinstance(module, self._modules):
                key = f"{name}/{self._functions[function]}"
                self._calls[key] += 1
                self._report(f"{key}:{self._calls[key]}", output)
        return output

    def _report(self, key: str, output: Tensor) -> None:
        last = output.ndim - 1
        axis = last if self._channels_last or output.ndim < 2 else 1
        self._callback(key, output, axis)


def _activation_functions(kinds: Iterable[str]) -> dict[Callable[..., Any], str]:
    """Map the functions and methods of these kinds, also those in place, to their kind."""
    functions = {}
    for kind in kinds:
        for namespace in (F, torch, Tensor):
            for name in (kind, f"{kind}_"):
                if hasattr(namespace, name):
                    functions[getattr(namespace, name)] = kind
    return functions


def _without_compilation(model: nn.Module) -> AbstractContextManager:
    """Run compiled modules uncompiled within the context."""
    for module in model.modules():
        if module._compiled_call_impl is not None or hasattr(module, "_orig_mod"):
            return torch.compiler.set_stance("force_eager")
    return nullcontext()  # Not the line above: it imports the compiler, which takes seconds.
