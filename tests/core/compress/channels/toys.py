"""Networks with channels that a reader can follow, and networks that are pruned at random."""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from core import models
from core.models.parameters import prunable_weights


def conv(inputs: int, outputs: int, kernel: int = 1, **options) -> nn.Conv2d:
    """A convolution whose weights are all 1 and whose bias, if it has one, is 0."""
    layer = nn.Conv2d(inputs, outputs, kernel, **options)
    nn.init.ones_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer


def chain(*layers: nn.Module) -> Any:
    """Layers in a row."""
    return nn.Sequential(*layers)


class Residual(nn.Module):
    """A stem of 2 channels, to which a convolution adds 2, and a reader of the sum."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = conv(3, 2, bias=False)
        self.branch = conv(2, 2, bias=False)
        self.reader = conv(2, 1)

    def forward(self, images: Tensor) -> Tensor:
        stem = self.stem(images)
        logits: Tensor = self.reader(stem + self.branch(stem)).mean((2, 3))
        return logits


class Concatenated(nn.Module):
    """Two convolutions of 2 channels each, side by side, and a linear reader of 2 x 2 positions."""

    def __init__(self) -> None:
        super().__init__()
        self.left = conv(3, 2)
        self.right = conv(3, 2)
        self.reader = nn.Linear(4 * 4, 1)

    def forward(self, images: Tensor) -> Tensor:
        both = torch.cat([self.left(images), self.right(images)], 1)
        logits: Tensor = self.reader(torch.relu(both).flatten(1))
        return logits


def used_network(name: str, seed: int) -> nn.Module:
    """A network in float64 whose BatchNorm layers have scales and shifts, as after a training."""
    torch.manual_seed(seed)
    network = models.build(name, 10).double().eval()
    for module in network.modules():
        if isinstance(module, _BatchNorm):
            nn.init.uniform_(module.weight, 0.5, 1)
            nn.init.normal_(module.bias, std=0.5)
            module.momentum = 1.0
    return network


@torch.no_grad()
def collect_statistics_(network: nn.Module, side: int) -> None:
    """Let BatchNorm see random images, so that the outputs depend on the image."""
    network.train()
    network(torch.randn(4, 3, side, side, dtype=torch.float64))
    network.eval()


@torch.no_grad()
def cut_weights_(network: nn.Module, density: float) -> None:
    """Keep each weight with this probability."""
    for weight in prunable_weights(network).values():
        weight[torch.rand(weight.shape) >= density] = 0.0


@torch.no_grad()
def cut_channels_(network: nn.Module, share: float) -> None:
    """Cut this share of the outputs of each layer, and of its inputs; not those of the last one."""
    weights = list(prunable_weights(network).values())
    for weight in weights[:-1]:
        weight[torch.rand(len(weight)) < share] = 0.0
    for weight in weights:
        if weight.shape[1] > 3:  # neither the image nor a depthwise convolution
            weight[:, torch.rand(weight.shape[1]) < share] = 0.0
