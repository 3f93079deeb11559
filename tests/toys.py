"""Networks small enough that a reader can add up what they do."""

import torch
from torch import nn


def scalar() -> nn.Module:
    """logits = W x with W = [[1, -2], [3, 0]]: two inputs, two classes, no bias."""
    layer = nn.Linear(2, 2, bias=False)
    layer.weight.data = torch.tensor([[1.0, -2.0], [3.0, 0.0]])
    return layer


class Flat(nn.Module):
    """Convolution, BatchNorm, ReLU, dropout, linear, on 3 x 8 x 8 images: every mode that scoring must put back."""

    def __init__(self, dropout: float = 0.0):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, padding=1)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(dropout)
        self.head = nn.Linear(4, 5)

    def forward(self, images):
        return self.head(self.drop(torch.relu(self.norm(self.conv(images)))).mean((2, 3)))


class Tied(nn.Module):
    """Two layers that share one 3 x 3 weight."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(torch.relu(self.first(x)))


def batch(n: int = 6, side: int = 8, classes: int = 5, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Random normalised images (n, 3, side, side) and labels (n,)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, side, side, generator=generator), torch.randint(classes, (n,), generator=generator)
