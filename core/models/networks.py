"""The networks for images of 32 x 32 pixels, which also take other sizes.

All map (N, 3, H, W) images to (N, num_classes) logits. The first weights are drawn from torch's
global generator: convolutions from He et al.'s normal distribution over the fan-out
(arXiv:1502.01852, eq. 14), as in torchvision's ResNets, and linear layers from PyTorch's uniform
one over the fan-in. The first logits are then small, so that a learning rate of 0.1 is stable. A
layer in front of BatchNorm has no bias, except in the layouts of `core.models.cifar` that have one.

torchvision is imported where a network needs it, because it brings all of `torch._dynamo`, which
takes as long as torch itself.
"""

from collections.abc import Callable
from functools import partial

from torch import Tensor, nn
from torch.nn import functional as F

from core.models.cifar.builders import CIFAR_BUILDERS
from core.models.cifar.first_weights import initialise_

_VGG_D = ((64, 64), (128, 128), (256, 256, 256), (512, 512, 512), (512, 512, 512))
"""Output channels of VGG-D's convolutions. A max-pool follows each stage."""


class VGG16(nn.Module):
    """VGG-D for 32 x 32 images with BatchNorm, as in SNIP (arXiv:1810.02340, section 5.1).

    The max-pools round sizes up, so that images below 32 x 32 pass as well. Larger images end in an
    average over positions.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_vgg_features(_VGG_D))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Sequential(
            nn.Linear(512, 512, bias=False),
            nn.BatchNorm1d(512),
            nn.ReLU(inplace=True),
            nn.Linear(512, 512, bias=False),
            nn.BatchNorm1d(512),
            nn.ReLU(inplace=True),
            nn.Linear(512, num_classes),
        )
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.avgpool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


def _vgg_features(stages: tuple[tuple[int, ...], ...]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    in_channels = 3
    for stage in stages:
        for channels in stage:
            layers.append(nn.Conv2d(in_channels, channels, 3, padding=1, bias=False))
            layers.append(nn.BatchNorm2d(channels))
            layers.append(nn.ReLU(inplace=True))
            in_channels = channels
        layers.append(nn.MaxPool2d(2, ceil_mode=True))
    return layers


class LeNet5(nn.Module):
    """LeNet-5 with ReLU and max-pools, for 32 x 32 images.

    LeCun et al., "Gradient-based learning applied to document recognition", 1998. Smaller images
    are enlarged to 32 x 32. The features of larger images are averaged to 5 x 5 positions.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 6, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
            nn.Conv2d(6, 16, 5),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d(5)
        self.classifier = nn.Sequential(
            nn.Linear(16 * 5 * 5, 120),
            nn.ReLU(inplace=True),
            nn.Linear(120, 84),
            nn.ReLU(inplace=True),
            nn.Linear(84, num_classes),
        )
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        if min(height, width) < 32:
            images = F.interpolate(images, (max(height, 32), max(width, 32)), mode="bilinear")
        features = self.avgpool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


class CifarResNet(nn.Module):
    """He et al.'s ResNet for CIFAR-10 (arXiv:1512.03385, section 4.2) with 6 * `blocks` + 2 layers.

    The shortcuts that change the channels have no parameters (option A in the paper), or with
    `projection` they are a 1 x 1 convolution and BatchNorm (option B). Parameters are named as in
    github.com/akamaster/pytorch_resnet_cifar10, those of the shortcuts as in torchvision.
    """

    def __init__(self, blocks: int, num_classes: int, projection: bool = False) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = _stage(blocks, 16, 16, projection)
        self.layer2 = _stage(blocks, 16, 32, projection)
        self.layer3 = _stage(blocks, 32, 64, projection)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(self.avgpool(features).flatten(1))
        return logits


class PaddedShortcut(nn.Module):
    """The shortcut without parameters, option A: halves the sides and adds channels of zeros.

    It takes every second position. Half of the `new_channels` are added before the others, half
    after them.
    """

    def __init__(self, new_channels: int) -> None:
        super().__init__()
        self.padding = new_channels // 2

    def forward(self, images: Tensor) -> Tensor:
        return F.pad(images[:, :, ::2, ::2], (0, 0, 0, 0, self.padding, self.padding))


def _stage(blocks: int, in_channels: int, channels: int, projection: bool) -> nn.Sequential:
    """Build `blocks` basic blocks. The first halves the sides if it widens the channels."""
    from torchvision.models.resnet import BasicBlock

    if in_channels == channels:
        first = BasicBlock(in_channels, channels)
    else:
        shortcut = _shortcut(in_channels, channels, projection)
        first = BasicBlock(in_channels, channels, stride=2, downsample=shortcut)
    others = [BasicBlock(channels, channels) for _ in range(blocks - 1)]
    return nn.Sequential(first, *others)


def _shortcut(in_channels: int, channels: int, projection: bool) -> nn.Module:
    if not projection:
        return PaddedShortcut(channels - in_channels)
    convolution = nn.Conv2d(in_channels, channels, 1, stride=2, bias=False)
    return nn.Sequential(convolution, nn.BatchNorm2d(channels))


def _torchvision_resnet(name: str, num_classes: int) -> nn.Module:
    """Build torchvision's ResNet with a first layer for small images.

    That is one 3 x 3 convolution of stride 1, without the max-pool.
    """
    import torchvision

    network: nn.Module = torchvision.models.get_model(name, weights=None, num_classes=num_classes)
    network.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    network.maxpool = nn.Identity()
    initialise_(network.conv1)
    return network


BUILDERS: dict[str, Callable[[int], nn.Module]] = {
    "VGG16": VGG16,
    "ResNet34": partial(_torchvision_resnet, "resnet34"),
    "ResNet50": partial(_torchvision_resnet, "resnet50"),
    "LeNet5": LeNet5,
    "ResNet20": partial(CifarResNet, 3),
    "ResNet32": partial(CifarResNet, 5),
    "ResNet44": partial(CifarResNet, 7),
    "ResNet56": partial(CifarResNet, 9),
    "ResNet110": partial(CifarResNet, 18),
    "ResNet20B": partial(CifarResNet, 3, projection=True),
    "ResNet32B": partial(CifarResNet, 5, projection=True),
    "ResNet44B": partial(CifarResNet, 7, projection=True),
    "ResNet56B": partial(CifarResNet, 9, projection=True),
    "ResNet110B": partial(CifarResNet, 18, projection=True),
    "ResNet18": partial(_torchvision_resnet, "resnet18"),
    **CIFAR_BUILDERS,
}
