"""Networks without weights: tensors on torch's meta device have a shape and a type, and nothing else."""

import copy
from itertools import chain

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

_ALLOCATORS = (torch.empty, torch.zeros, torch.ones)


class weightless(TorchFunctionMode):
    """While this context lasts, what a network allocates for its weights takes no memory.

    `torch.device("meta")` would do this to every tensor, also to the few that RegNet computes its widths with.
    """

    def __torch_function__(self, func, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        return func(*args, **(kwargs | {"device": "meta"} if func in _ALLOCATORS else kwargs))


def meta_copy(model: nn.Module) -> nn.Module:
    """A copy of `model` on the meta device. The weights themselves are never copied, and `model` is not touched."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): torch.empty_like(tensor, device="meta") for tensor in tensors})
