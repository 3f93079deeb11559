"""What every ReLU of a network puts out for some images.

A call is seen in one of two ways, never in both: an activation *module* through a forward hook on it, an activation
*function* (`F.relu`, `torch.relu`, `Tensor.relu_`, ...) through a `TorchFunctionMode`, unless it is an activation
module that calls it. The keys read like the network: "layer1.0.relu" is that module's first call and
"layer1.0.relu:2" its second; "layer1.0/relu:1" is the first `relu` function called by the module "layer1.0" itself,
"/relu:1" the first one called by the network. Functions called by compiled or scripted code are not seen;
`torch.compile`d modules therefore run uncompiled meanwhile.
"""

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from core.errors import UserError
from core.models.state import preserved

RELUS = {"relu": nn.ReLU, "relu6": nn.ReLU6, "leaky_relu": nn.LeakyReLU, "prelu": nn.PReLU, "rrelu": nn.RReLU}
"""The rectifiers, which is what is captured if nothing else is asked for: function's name -> module's class."""

ACTIVATIONS = RELUS | {
    "elu": nn.ELU, "selu": nn.SELU, "celu": nn.CELU, "gelu": nn.GELU, "silu": nn.SiLU, "mish": nn.Mish,
    "hardswish": nn.Hardswish, "softplus": nn.Softplus, "tanh": nn.Tanh}
"""Also the smooth ones: for networks with few ReLUs or none (EfficientNet, ConvNeXt, the transformers)."""

_CHANNELS_LAST_AFTER = {F.linear: True, F.conv1d: False, F.conv2d: False, F.conv3d: False}

See = Callable[[str, Tensor, int], None]


@dataclass(frozen=True)
class Captured:
    """One pass of N images: `logits` (N, classes), and of every call that was asked for its output, in call order.

    `shapes` and `axes` (where an output's channels are) cover all the calls, also those that were not kept.
    """

    logits: Tensor
    activations: dict[str, Tensor]
    shapes: dict[str, torch.Size]
    axes: dict[str, int]

    def maps(self, key: str, image: int = 0) -> np.ndarray:
        """One image's output as float32 with the channels first: (C, H, W) after a convolution, (C,) after a linear."""
        return self.activations[key].movedim(self.axes[key], 1)[image].float().cpu().numpy()


def capture(model: nn.Module, images: Tensor, layers: Iterable[str] | None = None,
            kinds: Mapping[str, type[nn.Module]] = RELUS) -> dict[str, Tensor]:
    """The output of every ReLU call in call order, as it was before anything later changed it in place.

    `images` (N, C, H, W) are normalised floats; they are moved to the model's device, where the outputs stay.
    `layers` keeps only these keys, and memory holds no others. `kinds=ACTIVATIONS` adds the smooth activations.
    The model runs in eval mode without gradients and is left exactly as it was, also after an exception.
    Raises UserError for images of another kind and for an unknown key.
    """
    return run(model, images, layers, kinds).activations


def run(model: nn.Module, images: Tensor, layers: Iterable[str] | None = None,
        kinds: Mapping[str, type[nn.Module]] = RELUS) -> Captured:
    """`capture`, with the logits of the same pass and the shapes of all calls; `layers=()` keeps no output at all."""
    wanted = None if layers is None else set(layers)
    kept: dict[str, Tensor] = {}
    shapes: dict[str, torch.Size] = {}
    axes: dict[str, int] = {}

    def see(key: str, output: Tensor, axis: int) -> None:
        shapes[key], axes[key] = output.shape, axis
        if wanted is None or key in wanted:
            kept[key] = output.clone()

    logits = observe(model, images, see, kinds)
    check_layers(wanted, shapes)
    return Captured(logits, kept, shapes, axes)


def observe(model: nn.Module, images: Tensor, see: See, kinds: Mapping[str, type[nn.Module]] = RELUS) -> Tensor:
    """The logits; on the way, `see(key, output, axis)` is told of every call, as soon as it returns.

    `output` is the network's own tensor, which the next operation may overwrite: copy what must last.
    """
    if images.ndim != 4 or not len(images) or not images.is_floating_point():
        raise UserError("images must be one or more normalised floats (N, C, H, W), "
                        f"got {str(images.dtype).removeprefix('torch.')} {tuple(images.shape)}")
    parameter = next(model.parameters(), images)
    images = images.to(parameter.device, copy=True)  # a network that starts in place must not reach the caller's
    with preserved(model), torch.no_grad(), _uncompiled(model), _Watch(see, kinds).over(model):
        model.eval()
        return model(images)


def check_layers(wanted: set[str] | None, seen: Iterable[str]) -> None:
    """Raise UserError for a wanted key that is not among those seen."""
    keys = list(seen)
    if unknown := (wanted or set()).difference(keys):
        known = ", ".join(keys[:5]) + (f" ... ({len(keys)} in all)" if len(keys) > 5 else "")
        raise UserError(f"layers must be among {known or 'none, for there is no such call'}, got {min(unknown)!r}")


class _Watch(TorchFunctionMode):
    """Tells `see` of every activation call under `over(model)`, in this thread only."""

    def __init__(self, see: See, kinds: Mapping[str, type[nn.Module]]):
        super().__init__()
        self._see, self._modules = see, tuple(kinds.values())
        self._functions = {getattr(place, name + tail): name for name in kinds for place in (F, torch, Tensor)
                           for tail in ("", "_") if hasattr(place, name + tail)}
        self._path: list[tuple[str, nn.Module]] = []
        self._calls: Counter[str] = Counter()
        self._channels_last = False
        self._thread = threading.get_ident()  # another one may be running the same model

    @contextmanager
    def over(self, model: nn.Module) -> Iterator[None]:
        with ExitStack() as stack:
            for name, module in model.named_modules():
                name = name.replace("_orig_mod.", "").removesuffix("_orig_mod")  # torch.compile's wrapper
                stack.callback(module.register_forward_pre_hook(partial(self._enter, name)).remove)
                stack.callback(module.register_forward_hook(partial(self._leave, name)).remove)
            stack.enter_context(self)
            yield

    def _enter(self, name: str, module: nn.Module, args: tuple) -> None:
        if threading.get_ident() == self._thread:
            self._path.append((name, module))

    def _leave(self, name: str, module: nn.Module, args: tuple, output: Tensor) -> None:
        if threading.get_ident() != self._thread:
            return
        while self._path.pop() != (name, module):
            pass  # what is above was left by an exception that the network caught itself
        if isinstance(module, self._modules):
            key = name or type(module).__name__
            self._calls[key] += 1
            self._tell(key if self._calls[key] == 1 else f"{key}:{self._calls[key]}", output)

    def __torch_function__(self, function: Callable, types: tuple, args: tuple = (), kwargs: dict | None = None):
        output = function(*args, **(kwargs or {}))  # the mode is off in here, so F.relu's own torch.relu is not seen
        self._channels_last = _CHANNELS_LAST_AFTER.get(function, self._channels_last)
        if function in self._functions and self._path and not isinstance(self._path[-1][1], self._modules):
            key = f"{self._path[-1][0]}/{self._functions[function]}"
            self._calls[key] += 1
            self._tell(f"{key}:{self._calls[key]}", output)
        return output

    def _tell(self, key: str, output: Tensor) -> None:
        self._see(key, output, output.ndim - 1 if self._channels_last or output.ndim < 2 else 1)


def _uncompiled(model: nn.Module) -> AbstractContextManager:
    if any(module._compiled_call_impl is not None or hasattr(module, "_orig_mod") for module in model.modules()):
        return torch.compiler.set_stance("force_eager")
    return nullcontext()  # the line above imports the compiler, which takes seconds
