"""The prunable weights of a network, defined once for everybody."""

from torch import nn


def prunable(model: nn.Module) -> dict[str, nn.Parameter]:
    """The `weight` of every Conv2d and Linear, in module order and under its name in `model.named_parameters()`.

    A weight that several modules share appears once, under its first name. Biases and BatchNorm are never pruned.
    """
    weights = {module.weight for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)}
    return {name: parameter for name, parameter in model.named_parameters() if parameter in weights}
