"""Matches the tensors of a state dict with those of a network.

Tensors are matched by name where the names agree or mean the same, as "downsample" and "shortcut"
do. Where they do not, layers are matched by structure: by their shapes, the numbers in their names
and their order. A person has to confirm that: equal shapes prove little.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.checkpoints.structure.align import Ambiguity, align
from core.checkpoints.structure.in_order import match_in_order
from core.checkpoints.structure.words import partners_by_meaning
from core.checkpoints.tensors import (
    COUNTER,
    TensorSpec,
    count_trained_values,
    layer_and_role,
    network_tensors,
    tensor_specs,
)
from core.errors import UserError
from core.models import build_to_fill, model_info


class TensorPair(NamedTuple):
    """A tensor's name in the file, its name in the network, and the shape that both have."""

    file_name: str
    network_name: str
    shape: tuple[int, ...]


class Mismatch(NamedTuple):
    """Two tensors that should be the same but differ in shape or type."""

    file_name: str
    network_name: str
    file_spec: TensorSpec
    network_spec: TensorSpec


@dataclass(frozen=True)
class Matching:
    """How the tensors of a file match those of a network.

    model, num_classes: the network. by_order: whether the tensors were matched by the structure and
    order of their layers instead of their names. pairs: the tensors that match. missing: names of
    the network's tensors that the file lacks. unexpected: names of the file's tensors that the
    network lacks. mismatched: the pairs that differ in shape or type. ambiguous: layers of equal
    shapes that nothing tells apart.
    """

    model: str
    num_classes: int
    by_order: bool
    pairs: tuple[TensorPair, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]
    ambiguous: tuple[Ambiguity, ...] = ()

    @property
    def fits(self) -> bool:
        """Whether every tensor is matched, without a guess."""
        return self.has_all_tensors and not self.ambiguous

    @property
    def has_all_tensors(self) -> bool:
        """Whether file and network have tensors of the same shapes."""
        return not (self.missing or self.unexpected or self.mismatched)

    @property
    def renamed(self) -> tuple[TensorPair, ...]:
        """The pairs whose names differ."""
        return tuple(pair for pair in self.pairs if pair.file_name != pair.network_name)

    def problem(self, name: str) -> str:
        """Say in one sentence why the file called `name` does not fit.

        The sentence names the first missing, unexpected and mismatched tensor, or the first two
        layers that could be confused.
        """
        network = f"{self.model} for {self.num_classes:,} classes"
        if self.has_all_tensors and self.ambiguous:
            first, second = self.ambiguous[0]
            return (
                f"{name} has the tensors of {network}, but its {first} and {second} have equal"
                f" shapes, and neither names nor order tell which is which"
                f"{_and_more(self.ambiguous)}: save the network's state_dict() again, unsorted."
            )
        return f"{name} is no {network}: {self.differences()}."

    def differences(self, limit: int = 3) -> str:
        """Name the first mismatched, missing and unexpected tensor, at most `limit` of them."""
        problems = []
        if self.mismatched:
            problems.append(_describe_mismatch(self.mismatched[0]) + _and_more(self.mismatched))
        if self.missing:
            problems.append(f"it has no {self.missing[0]}{_and_more(self.missing)}")
        if self.unexpected:
            first = self.unexpected[0]
            problems.append(f"the network has no {first}{_and_more(self.unexpected)}")
        return "; ".join(problems[:limit])

    def state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors under the network's names, ready for `load_state_dict`.

        Counters that the file lacks are 0.
        """
        matched = {pair.network_name: state[pair.file_name] for pair in self.pairs}
        names = network_tensors(self.model, self.num_classes)
        return {name: matched.get(name, torch.tensor(0)) for name in names}

    def network(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Return the network with the file's tensors, in evaluation mode, on their device."""
        model = build_to_fill(self.model, self.num_classes)
        model.load_state_dict(self.state(state), assign=True)
        return model.eval()


def match_tensors(
    state: Mapping[str, Tensor],
    model: str,
    num_classes: int,
    by_order: bool = False,
    name: str = "The file",
) -> Matching:
    """Match all tensors of the file called `name` with those of a network.

    They are matched by name, or if the names differ and `by_order` allows it, by structure.
    Raises UserError if they do not fit, in one sentence that names the first wrong tensor.
    """
    matching = compare_tensors(state, model, num_classes, by_order)
    if matching.fits:
        return matching
    if not by_order:
        in_order = compare_tensors(state, model, num_classes, by_order=True)
        if in_order.fits:
            raise UserError(_order_needed(in_order, model, name))
        if in_order.has_all_tensors:
            raise UserError(in_order.problem(name))
    raise UserError(matching.problem(name))


def compare_tensors(
    state: Mapping[str, Tensor], model: str, num_classes: int, by_order: bool = False
) -> Matching:
    """Match as `match_tensors` does, and also return a matching that does not fit.

    Raises UserError only if the network is unknown.
    """
    model = model_info(model).name
    in_network = network_tensors(model, num_classes)
    in_file = tensor_specs(state)
    same_meaning = partners_by_meaning(in_network, in_file)
    by_name = _judge(model, num_classes, in_network, in_file, same_meaning)
    if by_name.fits or not by_order:
        return by_name
    alignment = align(in_network, in_file)
    if alignment is None:
        partners = match_in_order(in_network, in_file)
        return _judge(model, num_classes, in_network, in_file, partners, by_order=True)
    matching = _judge(model, num_classes, in_network, in_file, alignment.partners, by_order=True)
    return replace(matching, ambiguous=alignment.ambiguous)


def count_classes(state: Mapping[str, Tensor], model: str, by_order: bool = False) -> int | None:
    """Return how many classes the state dict has as a state dict of the network called `model`.

    Where the last layer has another name and `by_order` allows it, the number of all parameters
    tells. Returns None if the last layer is not found.
    """
    model = model_info(model).name
    two_classes = network_tensors(model, 2)
    three_classes = network_tensors(model, 3)
    last_weight = next(name for name in two_classes if two_classes[name] != three_classes[name])
    in_file = tensor_specs(state)
    partner = partners_by_meaning(two_classes, in_file).get(last_weight)
    if partner is not None:
        shape = in_file[partner].shape
        return shape[0] if shape else None
    if not by_order:
        return None
    of_one_class = count_trained_values(three_classes) - count_trained_values(two_classes)
    of_others = count_trained_values(two_classes) - 2 * of_one_class
    classes, remainder = divmod(count_trained_values(in_file) - of_others, of_one_class)
    shape = (classes, *two_classes[last_weight].shape[1:])
    is_there = any(spec.shape == shape for spec in in_file.values())
    return classes if remainder == 0 and is_there else None


def _judge(
    model: str,
    num_classes: int,
    in_network: Mapping[str, TensorSpec],
    in_file: Mapping[str, TensorSpec],
    partners: Mapping[str, str],
    by_order: bool = False,
) -> Matching:
    """Divide the tensors into pairs, missing, unexpected and mismatched ones.

    partners: the name in the file of each of the network's tensors that has a partner.
    """
    pairs = []
    mismatched = []
    for name, partner in partners.items():
        expected = in_network[name]
        if in_file[partner] == expected:
            pairs.append(TensorPair(partner, name, expected.shape))
        else:
            mismatched.append(Mismatch(partner, name, in_file[partner], expected))
    without_partner = [name for name in in_network if name not in partners]
    missing = [name for name in without_partner if layer_and_role(name)[1] != COUNTER]
    matched = set(partners.values())
    unexpected = [name for name in in_file if name not in matched]
    return Matching(
        model,
        num_classes,
        by_order,
        tuple(pairs),
        tuple(missing),
        tuple(unexpected),
        tuple(mismatched),
    )


# -- sentences --


def _describe_mismatch(mismatch: Mismatch) -> str:
    partner = "the network's"
    if mismatch.file_name != mismatch.network_name:
        partner = f"the network's {mismatch.network_name}"
    return (
        f"its {mismatch.file_name} is {mismatch.file_spec}, not {mismatch.network_spec} as"
        f" {partner}"
    )


def _order_needed(in_order: Matching, model: str, name: str) -> str:
    """Say that the file fits by order and shape only."""
    renamed = in_order.renamed[0]
    return (
        f"{name} fits {model} in the shapes and the order of its layers but not in their names"
        f" ({renamed.file_name} for {renamed.network_name}): check the matches, and allow the order"
        " (--by-order)."
    )


def _and_more(items: tuple[object, ...]) -> str:
    return f" (and {len(items) - 1:,} more)" if len(items) > 1 else ""
