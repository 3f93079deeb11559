"""State dicts that take no memory, for the tests of matching and recognition."""

import torch

from core.models import build_on_meta


def state_of(model, classes=7):
    """A state dict with every name and shape of a network, that takes no memory."""
    return {
        name: torch.zeros((), dtype=tensor.dtype).expand(tensor.shape)
        for name, tensor in build_on_meta(model, classes).state_dict().items()
    }


def renamed(state, rename):
    return {rename(index, name): tensor for index, (name, tensor) in enumerate(state.items())}


def with_other_layers(state):
    """The same parameters in layers of other names."""
    numbers: dict[str, int] = {}

    def rename(_, name):
        layer, _, role = name.rpartition(".")
        number = numbers.setdefault(layer, len(numbers))
        return f"body.{number}.{role}"

    return renamed(state, rename)
