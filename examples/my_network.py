"""A small network of your own: three convolutions and a linear layer.

Copy this file into a folder, and start Secateur with that folder in SECATEUR_MODELS:

    SECATEUR_MODELS=~/networks streamlit run streamlit_app.py
    SECATEUR_MODELS=~/networks python -m core train --model my_network --dataset Digits --epochs 5

The network is called as the file. Secateur calls `build`, and reads the sentence at the top. A
network for one size of images says so by a line such as SIDE = 64. Installed packages can be
imported, and other files of the folder cannot: one file is one network.
"""

from torch import Tensor, nn


class SmallNetwork(nn.Module):
    """(N, 3, H, W) images to (N, classes) logits, for images of any size from 4 x 4 pixels."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_block(3, 16),
            nn.MaxPool2d(2),
            *_block(16, 32),
            nn.MaxPool2d(2),
            *_block(32, 64),
        )
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(64, classes)

    def forward(self, images: Tensor) -> Tensor:
        features = self.pool(self.features(images)).flatten(1)
        logits: Tensor = self.classifier(features)
        return logits


def _block(inputs: int, outputs: int) -> list[nn.Module]:
    convolution = nn.Conv2d(inputs, outputs, 3, padding=1, bias=False)
    return [convolution, nn.BatchNorm2d(outputs), nn.ReLU()]


def build(classes: int) -> nn.Module:
    """Return the network with its first weights."""
    return SmallNetwork(classes)
