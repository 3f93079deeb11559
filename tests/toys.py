"""Networks small enough that a reader can check their results by hand."""

import torch
from torch import Tensor, nn


def scalar() -> nn.Linear:
    """logits = W x with W = [[1, -2], [3, 0]]: two inputs, two classes, no bias."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    return layer


class Flat(nn.Module):
    """Convolution, BatchNorm, ReLU, dropout and linear layer, for images of 3 x 8 x 8.

    It has every layer whose mode or buffers a function may change and must restore.
    """

    def __init__(self, dropout: float = 0.0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm(self.conv(images)))
        logits: Tensor = self.head(self.drop(maps).mean((2, 3)))
        return logits


class Tied(nn.Module):
    """Two linear layers that share one 3 x 3 weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(3, 3, bias=False)
        self.second = nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.second(torch.relu(self.first(x)))
        return logits


def batch(n: int = 6, side: int = 8, classes: int = 5, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Random normalised images (n, 3, side, side) and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(n, 3, side, side, generator=generator)
    labels = torch.randint(classes, (n,), generator=generator)
    return images, labels
