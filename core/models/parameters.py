"""Lists the weights of a network that are pruned or quantized."""

from torch import nn


def prunable_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the `weight` of every Conv2d and Linear by its parameter name, in the model's order.

    A weight that several modules share appears once, under its first name. Biases and BatchNorm are
    never pruned.
    """
    layers = [module for module in model.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    weights = {layer.weight for layer in layers}
    return {name: parameter for name, parameter in model.named_parameters() if parameter in weights}


def batchnorm_weights(model: nn.Module) -> dict[str, nn.Parameter]:
    """Return the learned scale of every BatchNorm layer by its parameter name."""
    weights = {}
    for name, module in model.named_modules():
        is_batchnorm = isinstance(module, nn.modules.batchnorm._BatchNorm)
        if is_batchnorm and module.weight is not None:
            weights[f"{name}.weight"] = module.weight
    return weights
