"""Chooses networks for a test over the registry: one of each kind, the others under `-m slow`."""

from collections.abc import Iterable
from typing import Any

import pytest

from core.models import TORCHVISION

_KINDS = (
    "VGG16",
    "ResNet18",
    "ResNet50",
    "LeNet5",
    "ResNet20",
    "ResNet20B",
    "ResNet8",
    "VGG11BN",
    "VGG11BN3",
    "VGG11LTH",
    "WRN28x2",
    "MobileNetV2",
)
"""The smallest network of each kind for small images. Others have more layers, or wider ones."""

_BY_SIZE = sorted(TORCHVISION, key=lambda name: -TORCHVISION[name].parameters)
FAMILIES = {TORCHVISION[name].description.partition(" (")[0]: name for name in _BY_SIZE}
"""The smallest network of each family of torchvision."""


def one_of_each_kind(names: Iterable[str], *others: str) -> list[Any]:
    """Make parameters of a test, of which all but one of each kind and the `others` are slow."""
    quick = {*_KINDS, *FAMILIES.values(), *others}
    return [pytest.param(name, marks=() if name in quick else pytest.mark.slow) for name in names]
