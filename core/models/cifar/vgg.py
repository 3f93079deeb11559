"""VGG with BatchNorm for 32 x 32 images, in three common layouts.

Simonyan and Zisserman, "Very deep convolutional networks for large-scale image recognition",
arXiv:1409.1556. The convolutions have biases, because those of the repositories have them. The
max-pools round sizes up, so that images below 32 x 32 pass as well.
"""

from torch import Tensor, nn

from core.models.cifar.first_weights import initialise_

_CONVOLUTIONS = {
    11: (1, 1, 2, 2, 2),
    13: (2, 2, 2, 2, 2),
    16: (2, 2, 3, 3, 3),
    19: (2, 2, 4, 4, 4),
}
"""Number of convolutions in each of the five stages, by the number of layers with weights."""

_CHANNELS = (64, 128, 256, 512, 512)
"""Output channels of the convolutions of each stage."""


class CifarVGG(nn.Module):
    """VGG with `layers` layers with weights: 11, 13, 16 or 19.

    hidden: number of linear layers of 512 outputs in front of the last one. With 0, parameters are
    named as in github.com/kuangliu/pytorch-cifar. With 2, as in
    github.com/chenyaofo/pytorch-cifar-models; chengyangfu/pytorch-vgg-cifar10 has the same layers,
    and drops out the inputs of the linear layers instead of their outputs.
    """

    def __init__(self, layers: int, hidden: int, num_classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(*_features(_CONVOLUTIONS[layers]))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        last = nn.Linear(512, num_classes)
        self.classifier = nn.Sequential(*_hidden_layers(hidden), last) if hidden else last
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.avgpool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


class LotteryVGG(nn.Module):
    """VGG as the lottery ticket papers have it, with an average in place of the last max-pool.

    layers: 11, 13, 16 or 19. Parameters are named as in github.com/facebookresearch/open_lth and
    github.com/ganguli-lab/Synaptic-Flow.
    """

    def __init__(self, layers: int, num_classes: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(*_lottery_layers(_CONVOLUTIONS[layers]))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(512, num_classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.avgpool(self.layers(images)).flatten(1)
        logits: Tensor = self.fc(features)
        return logits


class ConvolutionWithNorm(nn.Module):
    """A 3 x 3 convolution, BatchNorm and ReLU."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(in_channels, channels, 3, padding=1)
        self.bn = nn.BatchNorm2d(channels)
        self.relu = nn.ReLU(inplace=True)

    def forward(self, images: Tensor) -> Tensor:
        features: Tensor = self.relu(self.bn(self.conv(images)))
        return features


def _features(convolutions: tuple[int, ...]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    in_channels = 3
    for count, channels in zip(convolutions, _CHANNELS, strict=True):
        for _ in range(count):
            modules.append(nn.Conv2d(in_channels, channels, 3, padding=1))
            modules.append(nn.BatchNorm2d(channels))
            modules.append(nn.ReLU(inplace=True))
            in_channels = channels
        modules.append(nn.MaxPool2d(2, ceil_mode=True))
    return modules


def _hidden_layers(count: int) -> list[nn.Module]:
    modules: list[nn.Module] = []
    for _ in range(count):
        modules.append(nn.Linear(512, 512))
        modules.append(nn.ReLU(inplace=True))
        modules.append(nn.Dropout())
    return modules


def _lottery_layers(convolutions: tuple[int, ...]) -> list[nn.Module]:
    modules: list[nn.Module] = []
    in_channels = 3
    for count, channels in zip(convolutions, _CHANNELS, strict=True):
        if modules:
            modules.append(nn.MaxPool2d(2, ceil_mode=True))
        for _ in range(count):
            modules.append(ConvolutionWithNorm(in_channels, channels))
            in_channels = channels
    return modules
