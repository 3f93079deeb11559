"""MobileNetV2 for 32 x 32 images.

Sandler et al., "MobileNetV2: inverted residuals and linear bottlenecks", arXiv:1801.04381. As in
github.com/kuangliu/pytorch-cifar, the first convolution and the second stage keep the sides, ReLU
stands for ReLU6, and a block that keeps the sides but changes the channels has a shortcut too.
"""

from torch import Tensor, nn

from core.models.cifar.first_weights import initialise_

_STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
"""Expansion, output channels, blocks and stride of each stage."""


class CifarMobileNetV2(nn.Module):
    """MobileNetV2 with its first layer for small images, named as in kuangliu/pytorch-cifar."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 32, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(32)
        self.relu1 = nn.ReLU(inplace=True)
        self.layers = nn.Sequential(*_blocks())
        self.conv2 = nn.Conv2d(320, 1280, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(1280)
        self.relu2 = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(1280, num_classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.layers(self.relu1(self.bn1(self.conv1(images))))
        features = self.relu2(self.bn2(self.conv2(features)))
        logits: Tensor = self.linear(self.avgpool(features).flatten(1))
        return logits


class InvertedResidual(nn.Module):
    """A 1 x 1 convolution to more channels, a depthwise 3 x 3 one, and a 1 x 1 one back.

    With stride 1, a shortcut adds what comes in, through a convolution if the channels change.
    """

    def __init__(self, in_channels: int, channels: int, expansion: int, stride: int) -> None:
        super().__init__()
        wide = expansion * in_channels
        self.conv1 = nn.Conv2d(in_channels, wide, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(wide)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(wide, wide, 3, stride, padding=1, groups=wide, bias=False)
        self.bn2 = nn.BatchNorm2d(wide)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv3 = nn.Conv2d(wide, channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(channels)
        self.adds_input = stride == 1
        self.shortcut = nn.Sequential()
        if self.adds_input and in_channels != channels:
            self.shortcut.append(nn.Conv2d(in_channels, channels, 1, bias=False))
            self.shortcut.append(nn.BatchNorm2d(channels))

    def forward(self, features: Tensor) -> Tensor:
        changed: Tensor = self.relu1(self.bn1(self.conv1(features)))
        changed = self.relu2(self.bn2(self.conv2(changed)))
        changed = self.bn3(self.conv3(changed))
        if self.adds_input:
            changed = changed + self.shortcut(features)
        return changed


def _blocks() -> list[nn.Module]:
    blocks: list[nn.Module] = []
    in_channels = 32
    for expansion, channels, count, stride in _STAGES:
        for index in range(count):
            block_stride = stride if index == 0 else 1
            blocks.append(InvertedResidual(in_channels, channels, expansion, block_stride))
            in_channels = channels
    return blocks
