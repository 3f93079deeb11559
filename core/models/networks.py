"""The networks for small images, each initialised from torch's global generator like torchvision's ResNets.

Convolutions start from He et al.'s normal distribution over the fan-out (arXiv:1502.01852, eq. 14), linear layers from
PyTorch's uniform one over the fan-in: the first logits are small, and a learning rate of 0.1 does not throw them about.
A layer in front of BatchNorm has no bias. All take (N, 3, H, W) with any H and W.
"""

from collections.abc import Callable
from functools import partial

import torchvision
from torch import Tensor, nn
from torch.nn import functional as F
from torchvision.models.resnet import BasicBlock

_VGG_D = (64, 64, "pool", 128, 128, "pool", 256, 256, 256, "pool", 512, 512, 512, "pool", 512, 512, 512, "pool")


class VGG16(nn.Module):
    """VGG-D for 32 x 32 images with BatchNorm, as in SNIP (arXiv:1810.02340, section 5.1).

    Poolings round up, so that images below 32 x 32 pass as well; larger ones end in an average over positions.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.features = nn.Sequential(*_convolutions(_VGG_D))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(inplace=True),
            nn.Linear(512, 512, bias=False), nn.BatchNorm1d(512), nn.ReLU(inplace=True),
            nn.Linear(512, num_classes))
        _initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


def _convolutions(plan: tuple) -> list[nn.Module]:
    layers, channels = [], 3
    for width in plan:
        if width == "pool":
            layers.append(nn.MaxPool2d(2, ceil_mode=True))
        else:
            layers += [nn.Conv2d(channels, width, 3, padding=1, bias=False), nn.BatchNorm2d(width),
                       nn.ReLU(inplace=True)]
            channels = width
    return layers


class LeNet5(nn.Module):
    """LeNet-5 (LeCun et al., "Gradient-based learning applied to document recognition", 1998) with ReLU and max-pools.

    Smaller images are enlarged to the 32 x 32 that it was made for; larger ones are averaged into its 5 x 5 positions.
    """

    def __init__(self, num_classes: int):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5), nn.ReLU(inplace=True), nn.MaxPool2d(2))
        self.avgpool = nn.AdaptiveAvgPool2d(5)
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120), nn.ReLU(inplace=True), nn.Linear(120, 84), nn.ReLU(inplace=True),
            nn.Linear(84, num_classes))
        _initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < 32:
            images = F.interpolate(images, (max(height, 32), max(width, 32)), mode="bilinear")
        return self.classifier(self.avgpool(self.features(images)).flatten(1))


class CifarResNet(nn.Module):
    """He et al.'s ResNet for CIFAR-10 (arXiv:1512.03385, section 4.2) of 6 * `blocks` + 2 layers.

    Its shortcuts have no parameters (option A). Parameters are named as in akamaster/pytorch_resnet_cifar10.
    """

    def __init__(self, blocks: int, num_classes: int):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(blocks, 16, 16)
        self.layer2 = _stage(blocks, 16, 32)
        self.layer3 = _stage(blocks, 32, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        _initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        out = self.relu(self.bn1(self.conv1(images)))
        out = self.layer3(self.layer2(self.layer1(out)))
        return self.linear(self.avgpool(out).flatten(1))


class PaddedShortcut(nn.Module):
    """Option A: every second position, and zeros for half of the new channels on each side."""

    def __init__(self, new_channels: int):
        super().__init__()
        self.padding = new_channels // 2

    def forward(self, images: Tensor) -> Tensor:
        return F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))


def _stage(blocks: int, in_channels: int, channels: int) -> nn.Sequential:
    """`blocks` basic blocks, of which the first halves the side if it widens the channels."""
    first = (BasicBlock(in_channels, channels) if in_channels == channels else
             BasicBlock(in_channels, channels, stride=2, downsample=PaddedShortcut(channels - in_channels)))
    return nn.Sequential(first, *(BasicBlock(channels, channels) for _ in range(blocks - 1)))


def _imagenet_resnet(name: str, num_classes: int) -> nn.Module:
    """torchvision's ResNet with the stem for small images: one 3 x 3 convolution of stride 1 and no max-pool."""
    network = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    _initialise_(network.conv1)
    return network


def _initialise_(network: nn.Module) -> None:
    """Draw the convolutions' weights anew, as this module's first lines say; their biases become zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)


BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "VGG16": VGG16,
    "ResNet34": partial(_imagenet_resnet, "resnet34"),
    "ResNet50": partial(_imagenet_resnet, "resnet50"),
    "LeNet5": LeNet5,
    "ResNet20": partial(CifarResNet, 3),
    "ResNet32": partial(CifarResNet, 5),
    "ResNet44": partial(CifarResNet, 7),
    "ResNet56": partial(CifarResNet, 9),
}
