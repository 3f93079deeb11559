"""Puts a model, or the global random generator, back into the state that it had before."""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import Tensor, nn

_global_generator = threading.Lock()


@contextmanager
def unchanged_generator() -> Iterator[None]:
    """Restore the state of torch's global random generator on the CPU at the end of the context.

    The process has a single global generator. Pages of several people run in threads of one
    process, so they take turns.
    """
    with _global_generator, torch.random.fork_rng(devices=[]):
        yield


@contextmanager
def preserve_state(model: nn.Module) -> Iterator[None]:
    """Undo at the end of the context, also after an exception, what happened to the model in it.

    Restored are the buffers (BatchNorm's statistics), the mode of every module, `requires_grad` and
    `grad` of every parameter, and the global random state that dropout draws from. Inside, the
    buffers are copies and the gradients are None. The parameters' values are not restored: leave
    them unchanged, or replace them by `torch.func.functional_call`.
    """
    modes = [(module, module.training) for module in model.modules()]
    buffers = [(module, dict(module._buffers)) for module in _with_own_buffers(model)]
    gradients = [(weight, weight.requires_grad, weight.grad) for weight in model.parameters()]
    with _forked_random_state(model):
        try:
            _replace_buffers_by_copies_(model)
            for parameter in model.parameters():
                parameter.grad = None
            yield
        finally:
            for module, training in modes:
                module.training = training
            for module, original in buffers:
                module._buffers.clear()
                module._buffers.update(original)
            for parameter, requires_grad, gradient in gradients:
                parameter.requires_grad_(requires_grad)
                parameter.grad = gradient


def _replace_buffers_by_copies_(model: nn.Module) -> None:
    """Copy every buffer once, so that modules which share a buffer share its copy."""
    copies: dict[Tensor, Tensor] = {buffer: buffer.clone() for buffer in model.buffers()}
    for module in _with_own_buffers(model):
        for name, buffer in module._buffers.items():
            module._buffers[name] = None if buffer is None else copies[buffer]


def _with_own_buffers(model: nn.Module) -> list[nn.Module]:
    """The modules whose buffers can be replaced. Those of scripted modules are in compiled code."""
    return [module for module in model.modules() if not isinstance(module, torch.jit.ScriptModule)]


def _forked_random_state(model: nn.Module) -> AbstractContextManager[None]:
    """Save the random state of the CPU and of the model's devices, and restore it at the end."""
    tensors = [*model.parameters(), *model.buffers()]
    devices = {tensor.device for tensor in tensors if tensor.device.type not in ("cpu", "meta")}
    in_order = sorted(devices, key=str)
    device_type = in_order[0].type if in_order else "cuda"
    indices = [device.index or 0 for device in in_order]
    return torch.random.fork_rng(indices, device_type=device_type)
