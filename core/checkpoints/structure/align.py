"""Finds which layer of a file is which layer of a network, from shapes, names and order.

Layers of different shapes cannot be confused. Those of equal shapes are told apart by the
convolution that a BatchNorm belongs to, by what their names mean, by the numbers in their names,
and at last by their order in the file, if that is the order of a network's layers. What remains is
ambiguous, and is reported.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import NamedTuple

from core.checkpoints.structure.layers import Layer, Signature, layers_of, neighbours
from core.checkpoints.structure.tree import is_numbered, is_registration_order, tree_order
from core.checkpoints.structure.words import meaning
from core.checkpoints.tensors import TensorSpec


class Ambiguity(NamedTuple):
    """Two layers of a file that have equal shapes, and that nothing tells apart."""

    first: str
    second: str


@dataclass(frozen=True)
class Alignment:
    """Which tensor of a file is which tensor of a network.

    partners: names in the network -> names in the file, of all tensors. ambiguous: layers of the
    file whose order had to be guessed.
    """

    partners: Mapping[str, str]
    ambiguous: tuple[Ambiguity, ...]


class _Kind(NamedTuple):
    """What tells a layer from others: its shapes, and for a BatchNorm those of its convolution."""

    signature: Signature
    neighbour: Signature


def align(
    in_network: Mapping[str, TensorSpec], in_file: Mapping[str, TensorSpec]
) -> Alignment | None:
    """Match the layers of a file with those of a network, or return None if the shapes differ.

    Both are the tensors of a state dict, in its order.
    """
    network_layers = layers_of(in_network)
    file_layers = _in_tree_order(layers_of(in_file))
    if _count(network_layers) != _count(file_layers):
        return None
    is_listed = is_registration_order(list(in_file))
    network_kinds = _kinds(network_layers)
    file_kinds = _kinds(file_layers)
    are_refined = Counter(network_kinds.values()) == Counter(file_kinds.values())
    if not are_refined:
        network_kinds = _kinds_by_shape(network_layers)
        file_kinds = _kinds_by_shape(file_layers)
    same_sequence = list(network_kinds.values()) == list(file_kinds.values())
    # The order of BatchNorms proves nothing where a shortcut's may stand before or after others.
    order_counts = is_listed and (are_refined or same_sequence)
    partners: dict[str, str] = {}
    ambiguous: list[Ambiguity] = []
    theirs = _by_kind(file_layers, file_kinds)
    for kind, ours in _by_kind(network_layers, network_kinds).items():
        pairs, unclear = _pair_equal_layers(ours, theirs[kind], order_counts)
        ambiguous += unclear
        for our_layer, their_layer in pairs:
            partners |= _partner_tensors(our_layer, their_layer)
    return Alignment(
        {name: partners[name] for name in in_network if name in partners}, (*ambiguous,)
    )


def _pair_equal_layers(
    ours: Sequence[Layer], theirs: Sequence[Layer], order_counts: bool
) -> tuple[list[tuple[Layer, Layer]], list[Ambiguity]]:
    """Pair layers of equal shapes, and say which of the file's could be in another order."""
    by_meaning = {meaning(layer.path): layer for layer in theirs}
    meanings = [meaning(layer.path) for layer in ours]
    if set(meanings) == set(by_meaning):
        return [(our, by_meaning[word]) for our, word in zip(ours, meanings, strict=True)], []
    unclear = [
        Ambiguity(before.path, after.path)
        for before, after in pairwise(theirs)
        if not (order_counts or is_numbered(before.path, after.path))
    ]
    return list(zip(ours, theirs, strict=True)), unclear


def _partner_tensors(ours: Layer, theirs: Layer) -> dict[str, str]:
    return {
        name: theirs.tensors[role] for role, name in ours.tensors.items() if role in theirs.tensors
    }


def _in_tree_order(layers: Sequence[Layer]) -> list[Layer]:
    by_path = {layer.path: layer for layer in layers}
    return [by_path[path] for path in tree_order(list(by_path))]


def _kinds(layers: Sequence[Layer]) -> dict[str, _Kind]:
    belongs_to = neighbours(layers)
    return {layer.path: _Kind(layer.signature, belongs_to.get(layer.path, ())) for layer in layers}


def _kinds_by_shape(layers: Sequence[Layer]) -> dict[str, _Kind]:
    return {layer.path: _Kind(layer.signature, ()) for layer in layers}


def _by_kind(layers: Sequence[Layer], kinds: Mapping[str, _Kind]) -> dict[_Kind, list[Layer]]:
    groups: dict[_Kind, list[Layer]] = defaultdict(list)
    for layer in layers:
        groups[kinds[layer.path]].append(layer)
    return groups


def _count(layers: Sequence[Layer]) -> Counter[Signature]:
    return Counter(layer.signature for layer in layers)
