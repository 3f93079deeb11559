"""Files of own networks, as text."""

GOOD = """
\"\"\"A test network.\"\"\"
from torch import nn

def build(classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(),
        nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(32, classes),
    )
"""
"""8 x 3 x 3 x 3 weights, 2 x 8 of BatchNorm, and 32 weights and a bias for each class."""

OTHER = GOOD.replace("8", "4").replace("32", "16")
"""Half as wide."""

FOR_ONE_SIDE = """
from torch import nn

SIDE = 8

def build(classes):
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 8 * 8, classes))
"""

WITH_VALUES = """
import torch
from torch import nn

class Scaled(nn.Module):
    def __init__(self, classes):
        super().__init__()
        self.head = nn.Linear(3, classes)
        self.register_buffer("factor", torch.ones(3) * 2, persistent=False)
        self.offset = torch.ones(3)

    def forward(self, images):
        if images.is_meta:
            return self.head(images.mean((2, 3)))
        return self.head(images.mean((2, 3)) * self.factor + self.offset)

def build(classes):
    return Scaled(classes)
"""
"""Has values that are in no state dict."""
