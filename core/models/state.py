"""Leave a model as it was found."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager

import torch
from torch import nn


@contextmanager
def preserved(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, also an exception, is undone: buffers (BatchNorm's statistics), the mode of every
    module, `requires_grad` and `grad` of every parameter, and the global random state that dropout draws from.

    Inside, the buffers are copies and the gradients None, so that the originals are not even touched. The values of
    the parameters are not copied: leave them alone, or replace them by `torch.func.functional_call`.
    """
    modules = [(module, module.training, dict(module._buffers)) for module in model.modules()]
    parameters = [(parameter, parameter.requires_grad, parameter.grad) for parameter in model.parameters()]
    copies = {buffer: buffer.clone() for buffer in model.buffers()}  # one each, so that shared ones stay shared
    with _forked_random_state(model):
        try:
            for module, _, buffers in modules:
                module._buffers.update({name: copies.get(buffer) for name, buffer in buffers.items()})
            for parameter, _, _ in parameters:
                parameter.grad = None
            yield
        finally:
            for module, training, buffers in modules:
                module.training = training
                module._buffers.clear()
                module._buffers.update(buffers)
            for parameter, requires_grad, grad in parameters:
                parameter.requires_grad_(requires_grad)
                parameter.grad = grad


def _forked_random_state(model: nn.Module) -> AbstractContextManager:
    """The generators of the CPU and of the devices that the model is on."""
    devices = {tensor.device for tensor in [*model.parameters(), *model.buffers()]}
    devices = sorted((device for device in devices if device.type not in ("cpu", "meta")), key=str)
    kind = devices[0].type if devices else "cuda"
    return torch.random.fork_rng([device.index or 0 for device in devices], device_type=kind)
