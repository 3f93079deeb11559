"""The ResNet-8 of MLPerf Tiny, translated from Keras.

Banbury et al., "MLPerf Tiny benchmark", arXiv:2106.07597; resnet_v1_eembc in keras_model.py of
github.com/mlcommons/tiny, benchmark/training/image_classification. The convolutions have biases,
and those of the shortcuts have no BatchNorm, as there. Two things are PyTorch's: BatchNorm's
epsilon is 1e-5 (Keras: 1e-3), and convolutions of stride 2 pad all sides (Keras: right and bottom).
"""

from torch import Tensor, nn

from core.models.cifar.first_weights import initialise_


class TinyResNet8(nn.Module):
    """A 3 x 3 convolution and three residual blocks of 16, 32 and 64 channels."""

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU(inplace=True)
        self.layer1 = TinyBlock(16, 16)
        self.layer2 = TinyBlock(16, 32)
        self.layer3 = TinyBlock(32, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, num_classes)
        initialise_(self)

    def forward(self, images: Tensor) -> Tensor:
        features = self.relu(self.bn1(self.conv1(images)))
        features = self.layer3(self.layer2(self.layer1(features)))
        logits: Tensor = self.linear(self.avgpool(features).flatten(1))
        return logits


class TinyBlock(nn.Module):
    """Two 3 x 3 convolutions and a shortcut. It halves the sides if it changes the channels."""

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__()
        stride = 1 if in_channels == channels else 2
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1)
        self.bn1 = nn.BatchNorm2d(channels)
        self.relu1 = nn.ReLU(inplace=True)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1)
        self.bn2 = nn.BatchNorm2d(channels)
        self.relu2 = nn.ReLU(inplace=True)
        self.shortcut: nn.Conv2d | None = None
        if in_channels != channels:
            self.shortcut = nn.Conv2d(in_channels, channels, 1, stride)

    def forward(self, features: Tensor) -> Tensor:
        changed = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(features)))))
        shortcut = features if self.shortcut is None else self.shortcut(features)
        total: Tensor = self.relu2(changed + shortcut)
        return total
