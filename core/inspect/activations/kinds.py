"""The activation functions that can be observed, as modules, functions and methods."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

ActivationKinds = Mapping[str, type[nn.Module] | None]
"""The name of a function -> the class of the module that calls it; None if there is none."""

RELUS: dict[str, type[nn.Module] | None] = {
    "relu": nn.ReLU,
    "relu6": nn.ReLU6,
    "leaky_relu": nn.LeakyReLU,
    "prelu": nn.PReLU,
    "rrelu": nn.RReLU,
    "threshold": nn.Threshold,
    "clamp": None,
    "clip": None,
    "clamp_min": None,
}
"""The rectifiers. `clamp`, `clip` and `clamp_min` count only with the lower bound 0."""

ACTIVATIONS: dict[str, type[nn.Module] | None] = RELUS | {
    "elu": nn.ELU,
    "selu": nn.SELU,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "mish": nn.Mish,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "softplus": nn.Softplus,
    "softsign": nn.Softsign,
    "logsigmoid": nn.LogSigmoid,
    "tanh": nn.Tanh,
}
"""The rectifiers and the smooth activation functions. All of them are observed by default."""

GATES: dict[str, type[nn.Module] | None] = {
    "sigmoid": nn.Sigmoid,
    "hardsigmoid": nn.Hardsigmoid,
}
"""Functions that scale other values, as in squeeze-and-excitation. They are left out."""

IS_GATE = "a gate and no activation"
"""The end of the reason why a gate is left out."""

_CLAMPS = ("clamp", "clip", "clamp_min")


def functions_of(kinds: Iterable[str]) -> dict[Callable[..., Any], str]:
    """Map the functions and methods of these kinds, also those in place, to their kind."""
    functions = {}
    for kind in kinds:
        for namespace in (F, torch, Tensor):
            for name in (kind, f"{kind}_"):
                if hasattr(namespace, name):
                    functions[getattr(namespace, name)] = kind
    return functions


def modules_of(kinds: ActivationKinds) -> tuple[type[nn.Module], ...]:
    """Return the classes of these kinds."""
    return tuple(module for module in kinds.values() if module is not None)


def display_name(kind: str) -> str:
    """Return the name of a function's kind for people: that of its module, such as "ReLU6"."""
    module = (ACTIVATIONS | GATES)[kind]
    return kind if module is None else module.__name__


def is_activation_call(kind: str, args: tuple, kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of a function of this kind is an activation: a clamp must begin at 0."""
    if kind not in _CLAMPS:
        return True
    # A scalar in place of "min" makes a rectifier; a tensor or another number does not.
    low = kwargs.get("min", args[1] if len(args) > 1 else None)
    return isinstance(low, int | float) and low == 0
