"""Observes the output of every activation function while a network runs.

Each call is observed in exactly one of two ways. A call of an activation *module*, such as
`nn.ReLU`, is observed by a forward hook. A call of an activation *function*, such as `F.relu`,
`torch.relu` or `Tensor.relu_`, is observed by a `TorchFunctionMode`, unless an activation module
calls it.

The key of a call reads like the network:

- "layer1.0.relu" is the first call of that module, and "layer1.0.relu:2" its second.
- "layer1.0/relu:1" is the first `relu` function that the module "layer1.0" itself calls.
- "/relu:1" is the first `relu` function that the network itself calls.

Functions called by scripted or fused code cannot be observed; `Observation.left_out` names these
modules. Modules and functions compiled with `torch.compile` run uncompiled meanwhile.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from core.errors import UserError
from core.inspect.activations.kinds import (
    ACTIVATIONS,
    GATES,
    IS_GATE,
    ActivationKinds,
    display_name,
    functions_of,
    is_activation_call,
    modules_of,
)
from core.models.state import preserve_state


@dataclass(frozen=True)
class ActivationCall:
    """One call of an activation function.

    key: names the call in its network.
    kind: the name of the function, such as "ReLU6" or "clamp".
    axis: the axis of the channels in the output.
    """

    key: str
    kind: str
    axis: int


@dataclass(frozen=True)
class Observation:
    """What a network returned, and what could not be observed in it.

    logits: (N, classes).
    left_out: the modules and calls that were not observed, with the reason of each.
    """

    logits: Tensor
    left_out: dict[str, str]


ActivationCallback = Callable[[ActivationCall, Tensor], None]
"""Receives a call and its output."""

_ALSO_OF_WEIGHTS = ("clamp", "clip", "clamp_min", "threshold", "softplus", "tanh")

_CHANNELS_LAST_AFTER = {F.linear: True, F.conv1d: False, F.conv2d: False, F.conv3d: False}
"""Whether the channels are on the last axis after a call of this function."""


def observe_activations(
    model: nn.Module,
    images: Tensor,
    callback: ActivationCallback,
    kinds: ActivationKinds = ACTIVATIONS,
) -> Observation:
    """Run the model on the images, and call `callback` right after each activation.

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
    observer = _ActivationObserver(callback, kinds, len(images))
    with (
        preserve_state(model),
        torch.no_grad(),
        _without_compilation(model),
        observer.attached_to(model),
    ):
        model.eval()
        logits = model(images)
    return Observation(logits, observer.left_out)


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

    def __init__(self, callback: ActivationCallback, kinds: ActivationKinds, images: int):
        super().__init__()
        self.left_out: dict[str, str] = {}
        self._callback = callback
        self._images = images
        self._modules = modules_of(kinds)
        self._functions = functions_of(kinds)
        self._gates = modules_of(GATES)
        self._gate_functions = functions_of(GATES)
        self._running: list[tuple[str, nn.Module]] = []
        self._calls: Counter[str] = Counter()
        self._channels_last = False
        self._thread = threading.get_ident()

    @contextmanager
    def attached_to(self, model: nn.Module) -> Iterator[None]:
        """Observe what the model calls within this context."""
        with ExitStack() as stack:
            for name, module in model.named_modules():
                if isinstance(module, torch.jit.ScriptModule):
                    continue  # Its own calls never come back to Python.
                # The wrapper of torch.compile adds a part to the name.
                name = name.replace("_orig_mod.", "").removesuffix("_orig_mod")
                enter = module.register_forward_pre_hook(partial(self._enter, name))
                stack.callback(enter.remove)
                leave = module.register_forward_hook(partial(self._leave, name))
                stack.callback(leave.remove)
            stack.enter_context(self)
            self.left_out.update(_unobservable_modules(model))
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
            self._report(key if call == 1 else f"{key}:{call}", type(module).__name__, output)
        elif isinstance(module, self._gates):
            self.left_out[name or type(module).__name__] = _gate_reason(type(module).__name__)

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
        if self._running:
            self._observe_function(function, args, kwargs or {}, output)
        return output

    def _observe_function(
        self, function: Callable[..., Any], args: tuple, kwargs: Mapping[str, Any], output: Any
    ) -> None:
        """Report the call of a function, unless an activation module makes it."""
        name, module = self._running[-1]
        if isinstance(module, (*self._modules, *self._gates)):
            return
        if function in self._gate_functions:
            gate = self._gate_functions[function]
            self.left_out[f"{name}/{gate}"] = _gate_reason(display_name(gate))
        kind = self._functions.get(function)
        if kind is None or not is_activation_call(kind, args, kwargs):
            return
        # A network also clamps its scales and weights, which have no entry for each image.
        if kind in _ALSO_OF_WEIGHTS and (output.ndim < 2 or len(output) != self._images):
            return
        key = f"{name}/{kind}"
        self._calls[key] += 1
        self._report(f"{key}:{self._calls[key]}", display_name(kind), output)

    def _report(self, key: str, kind: str, output: Tensor) -> None:
        last = output.ndim - 1
        axis = last if self._channels_last or output.ndim < 2 else 1
        self._callback(ActivationCall(key, kind, axis), output)


def _gate_reason(kind: str) -> str:
    return f"{kind}, {IS_GATE}"


def _unobservable_modules(model: nn.Module) -> dict[str, str]:
    """Return the outermost modules whose calls stay in compiled code, with the reason."""
    left_out: dict[str, str] = {}
    for name, module in model.named_modules():
        if any(name.startswith(f"{outer}.") or not outer for outer in left_out):
            continue
        class_name = getattr(module, "original_name", type(module).__name__)
        if isinstance(module, torch.jit.ScriptModule):
            left_out[name] = f"{class_name}, scripted: its calls cannot be observed"
        elif _is_fused(module):
            left_out[name] = f"{class_name}, fused: its activation has no output of its own"
    return {name or "the whole network": reason for name, reason in left_out.items()}


def _is_fused(module: nn.Module) -> bool:
    """Whether this is a quantized module that computes a layer and its activation in one kernel."""
    return "intrinsic.quantized" in type(module).__module__


def _without_compilation(model: nn.Module) -> AbstractContextManager:
    """Run compiled modules and functions uncompiled within the context."""
    if any(_is_compiled(module) for module in model.modules()):
        return torch.compiler.set_stance("force_eager")
    return nullcontext()  # Not the line above: it imports the compiler, which takes seconds.


def _is_compiled(module: nn.Module) -> bool:
    """Whether torch.compile was applied to the module, its forward, or a function that it holds."""
    if isinstance(module, torch.jit.ScriptModule):
        return False
    if module._compiled_call_impl is not None or hasattr(module, "_orig_mod"):
        return True
    return any("_torchdynamo_orig_callable" in _names(value) for value in vars(module).values())


def _names(value: Any) -> Mapping[str, Any]:
    return getattr(value, "__dict__", {})
