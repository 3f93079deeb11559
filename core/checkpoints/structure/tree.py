"""Reads the order of layers from the module tree that their names describe."""

from collections.abc import Mapping, Sequence

from core.checkpoints.structure.words import NumberedWord, numbered
from core.checkpoints.tensors import COUNTER, layer_and_role

_ROLES = ("weight", "bias", "running_mean", "running_var", COUNTER)
"""The order in which PyTorch lists the tensors of a layer."""


def tree_order(paths: Sequence[str]) -> list[str]:
    """Return the paths of layers in the order of the module tree.

    The modules of a parent come in the order of their first appearance, but those whose names
    differ in a number only, as conv1 and conv2, come in the order of these numbers.
    """
    return [".".join(words) for words in _ordered([path.split(".") for path in paths])]


def is_numbered(before: str, after: str) -> bool:
    """Whether numbers in the names say that the layer `before` comes before the layer `after`."""
    for word, other_word in zip(before.split("."), after.split("."), strict=False):
        if word != other_word:
            first = numbered(word)
            second = numbered(other_word)
            return _are_counted(first, second) and _number(first) < _number(second)
    return False


def is_registration_order(names: Sequence[str]) -> bool:
    """Whether the names of tensors can be in the order in which a network lists them.

    A file that is sorted by name or shuffled is not: a layer lists its weight before its bias, the
    tensors of a module follow each other, and conv1 comes before conv2.
    """
    roles: dict[str, list[str]] = {}
    runs: list[str] = []
    for name in names:
        path, role = layer_and_role(name)
        roles.setdefault(path, []).append(role)
        if not runs or runs[-1] != path:
            runs.append(path)
    if not all(_in_torchs_order(listed) for listed in roles.values()):
        return False
    return runs == tree_order(list(roles))


def _ordered(paths: list[list[str]]) -> list[list[str]]:
    """Order paths, each a list of words, by their first words and then within each."""
    groups: dict[str, list[list[str]]] = {}
    ends = [path for path in paths if not path]
    for path in paths:
        if path:
            groups.setdefault(path[0], []).append(path[1:])
    ordered = ends
    for word in _siblings_in_order(list(groups)):
        ordered += [[word, *rest] for rest in _ordered(groups[word])]
    return ordered


def _siblings_in_order(words: list[str]) -> list[str]:
    """Put counted words into the order of their numbers, in the places that they have together."""
    counted: dict[str, list[str]] = {}
    for word in words:
        if numbered(word).number is not None:
            counted.setdefault(numbered(word).start, []).append(word)
    following: Mapping[str, list[str]] = {
        start: sorted(same, key=lambda word: _number(numbered(word)), reverse=True)
        for start, same in counted.items()
    }
    ordered = []
    for word in words:
        start, number, _ = numbered(word)
        ordered.append(word if number is None else following[start].pop())
    return ordered


def _are_counted(first: NumberedWord, second: NumberedWord) -> bool:
    """Whether two words begin alike and go on with different numbers."""
    numbers = (first.number, second.number)
    return first.start == second.start and None not in numbers and numbers[0] != numbers[1]


def _number(word: NumberedWord) -> int:
    return -1 if word.number is None else word.number


def _in_torchs_order(roles: Sequence[str]) -> bool:
    places = [_ROLES.index(role) for role in roles if role in _ROLES]
    return places == sorted(places)
