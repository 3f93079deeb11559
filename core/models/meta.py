"""Networks without values, on torch's meta device, where a tensor has only a shape and a type."""

import copy
from collections.abc import Callable
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_ALLOCATORS = (torch.empty, torch.zeros, torch.ones)


class AllocateOnMeta(TorchFunctionMode):
    """A context in which the weights that a network allocates take no memory.

    `torch.device("meta")` is not used because it moves every new tensor to the meta device, also
    those from which RegNet computes its widths.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if func in _ALLOCATORS:
            kwargs = kwargs | {"device": "meta"}
        return func(*args, **kwargs)


def meta_copy(model: nn.Module) -> nn.Module:
    """Return a copy of `model` on the meta device; the weights' values are never copied."""
    meta_tensors: dict[int, Tensor] = {}
    for tensor in chain(model.parameters(), model.buffers()):
        meta_tensors[id(tensor)] = torch.empty_like(tensor, device="meta")
    return copy.deepcopy(model, meta_tensors)  # deepcopy takes what its memo has under an id
