"""Gathers the tensors of a state dict into layers, and describes what tells layers apart."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from core.checkpoints.structure.words import numbered
from core.checkpoints.tensors import COUNTER, TensorSpec, layer_and_role

Signature = tuple[tuple[str, TensorSpec], ...]
"""The roles of a layer's tensors with their shapes, sorted by role, without BatchNorm's counter."""


@dataclass(frozen=True, eq=False)
class Layer:
    """A layer of a state dict.

    path: dotted name of the module. tensors: names of its tensors by role. signature: their shapes.
    """

    path: str
    tensors: Mapping[str, str]
    signature: Signature

    @property
    def weight_shape(self) -> tuple[int, ...]:
        """Shape of the weight, () if there is none."""
        spec = dict(self.signature).get("weight")
        return spec.shape if spec else ()

    @property
    def is_norm(self) -> bool:
        """Whether the layer can be a normalisation, which has one weight for each channel."""
        return len(self.weight_shape) == 1

    @property
    def mixes_channels(self) -> bool:
        """Whether the layer can be a convolution or a linear layer."""
        return len(self.weight_shape) in (2, 4)


def layers_of(specs: Mapping[str, TensorSpec]) -> list[Layer]:
    """Return the layers of a state dict in the order of their first tensors."""
    tensors: dict[str, dict[str, str]] = defaultdict(dict)
    for name in specs:
        path, role = layer_and_role(name)
        tensors[path][role] = name
    return [_layer(path, names, specs) for path, names in tensors.items()]


def neighbours(layers: Sequence[Layer]) -> dict[str, Signature]:
    """Return the signature of the convolution that each normalisation belongs to, by path.

    That is the layer beside it with the same number, as conv1 for bn1, or else the layer in front
    of it. It must have as many channels. Normalisations without one are left out.
    """
    siblings: dict[tuple[str, int | None], list[Layer]] = defaultdict(list)
    for layer in layers:
        siblings[_place(layer.path)].append(layer)
    found: dict[str, Signature] = {}
    previous: list[Layer] = []
    for layer in layers:
        if layer.is_norm:
            beside = _with_its_channels(layer, siblings[_place(layer.path)])
            in_front = _with_its_channels(layer, previous)
            belongs_to = beside if len(beside) == 1 else in_front
            if belongs_to:
                found[layer.path] = belongs_to[0].signature
        previous = [layer]
    return found


def _layer(path: str, names: Mapping[str, str], specs: Mapping[str, TensorSpec]) -> Layer:
    shapes = [(role, specs[name]) for role, name in names.items() if role != COUNTER]
    return Layer(path, names, tuple(sorted(shapes, key=lambda item: item[0])))


def _place(path: str) -> tuple[str, int | None]:
    """Return the module around a layer and the number in the layer's own name."""
    parent, _, word = path.rpartition(".")
    return parent, numbered(word).number


def _with_its_channels(norm: Layer, others: Sequence[Layer]) -> list[Layer]:
    """Return the convolutions and linear layers that make or read the channels of `norm`."""
    channels = norm.weight_shape[0]
    return [
        other for other in others if other.mixes_channels and channels in other.weight_shape[:2]
    ]
