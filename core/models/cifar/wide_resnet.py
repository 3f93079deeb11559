"""Wide residual networks for 32 x 32 images.

Zagoruyko and Komodakis, "Wide residual networks", arXiv:1605.07146. BatchNorm and ReLU come before
each convolution. There is no dropout.
"""

from torch import Tensor, nn

from core.models.cifar.first_weights import initialise_


class WideResNet(nn.Module):
    """WRN-`depth`-`width`: three stages of (depth - 4) / 6 blocks, 16 to 64 * `width` channels.

    Parameters are named as in github.com/xternalz/WideResNet-pytorch, except for its convShortcut.
    """

    def __init__(self, depth: int, width: int, num_classes: int) -> None:
        super().__init__()
        blocks = (depth - 4) // 6
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.block1 = WideStage(blocks, 16, 16 * width, stride=1)
        self.block2 = WideStage(blocks, 16 * width, 32 * width, stride=2)
        self.block3 = WideStage(blocks, 32 * width, 64 * width, stride=2)
        self.bn1 = nn.BatchNorm2d(64 * width)
        self.relu = nn.ReLU(inplace=True)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.fc = nn.Linear(64 * width, num_classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.block3(self.block2(self.block1(self.conv1(images))))
        features = self.avgpool(self.relu(self.bn1(features)))
        logits: Tensor = self.fc(features.flatten(1))
        return logits


class WideStage(nn.Module):
    """`blocks` blocks, of which the first changes the channels and divides the sides by `stride`.

    The blocks are in a module `layer`, which gives the parameters their usual names.
    """

    def __init__(self, blocks: int, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        first = WideBlock(in_channels, channels, stride)
        others = [WideBlock(channels, channels, 1) for _ in range(blocks - 1)]
        self.layer = nn.Sequential(first, *others)

    def forward(self, features: Tensor) -> Tensor:
        features = self.layer(features)
        return features


class WideBlock(nn.Module):
    """Two 3 x 3 convolutions, each behind BatchNorm and ReLU, and a shortcut.

    Where the channels change, the shortcut is a 1 x 1 convolution that begins behind the first
    ReLU. Elsewhere it adds what comes in.
    """

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.shortcut: nn.Conv2d | None = None
        if in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        active = self.relu1(self.bn1(features))
        shortcut = features if self.shortcut is None else self.shortcut(active)
        changed = self.conv2(self.relu2(self.bn2(self.conv1(active))))
        total: Tensor = changed + shortcut
        return total
