"""Matches the tensors of a state dict with those of a network.

Tensors are matched by name where the names agree. Where they do not, the tensors of each kind (the
weights of convolutions, the biases of BatchNorms, ...) are matched in their order. A person has to
confirm that: equal shapes prove little.
"""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from core.checkpoints.tensors import (
    COUNTER,
    TensorSpec,
    layer_and_role,
    network_tensors,
    tensor_specs,
)
from core.errors import UserError
from core.models import build_on_meta, model_info


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

    model, num_classes: the network. by_order: whether the tensors were matched by their order
    instead of their names. pairs: the tensors that match. missing: names of the network's tensors
    that the file lacks. unexpected: names of the file's tensors that the network lacks. mismatched:
    the pairs that differ in shape or type.
    """

    model: str
    num_classes: int
    by_order: bool
    pairs: tuple[TensorPair, ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[Mismatch, ...]

    @property
    def fits(self) -> bool:
        """Whether every tensor is matched."""
        return not (self.missing or self.unexpected or self.mismatched)

    def problem(self, name: str) -> str:
        """Say in one sentence why the file called `name` does not fit.

        The sentence names the first missing, unexpected and mismatched tensor.
        """
        problems = []
        if self.mismatched:
            problems.append(_describe_mismatch(self.mismatched[0]) + _and_more(self.mismatched))
        if self.missing:
            problems.append(f"it has no {self.missing[0]}{_and_more(self.missing)}")
        if self.unexpected:
            first = self.unexpected[0]
            problems.append(f"the network has no {first}{_and_more(self.unexpected)}")
        network = f"{self.model} for {self.num_classes:,} classes"
        return f"{name} is no {network}: {'; '.join(problems)}."

    def state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the file's tensors under the network's names, ready for `load_state_dict`.

        Counters that the file lacks are 0.
        """
        matched = {pair.network_name: state[pair.file_name] for pair in self.pairs}
        names = network_tensors(self.model, self.num_classes)
        return {name: matched.get(name, torch.tensor(0)) for name in names}

    def network(self, state: Mapping[str, Tensor]) -> nn.Module:
        """Return the network with the file's tensors, in evaluation mode, on their device."""
        model = build_on_meta(self.model, self.num_classes)
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

    They are matched by name, or if the names differ and `by_order` allows it, by order and shape.
    Raises UserError if they do not fit, in one sentence that names the first wrong tensor.
    """
    matching = compare_tensors(state, model, num_classes, by_order)
    if matching.fits:
        return matching
    if not by_order:
        in_order = compare_tensors(state, model, num_classes, by_order=True)
        if in_order.fits:
            raise UserError(_order_needed(in_order, model, name))
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
    same_names = {name: name for name in in_network if name in in_file}
    by_name = _judge(model, num_classes, in_network, in_file, same_names)
    if by_name.fits or not by_order:
        return by_name
    partners = _match_in_order(in_network, in_file)
    return _judge(model, num_classes, in_network, in_file, partners, by_order=True)


def count_classes(state: Mapping[str, Tensor], model: str, by_order: bool = False) -> int | None:
    """Return how many classes the state dict has as a state dict of the network called `model`.

    Returns None if it lacks the last layer's weight.
    """
    model = model_info(model).name
    two_classes = network_tensors(model, 2)
    three_classes = network_tensors(model, 3)
    last_layer = next(name for name in two_classes if two_classes[name] != three_classes[name])
    in_file = tensor_specs(state)
    partners = {last_layer: last_layer}
    if by_order and last_layer not in in_file:
        partners = _match_in_order(two_classes, in_file)
    partner = partners.get(last_layer)
    if partner is None or partner not in in_file:
        return None
    shape = in_file[partner].shape
    return shape[0] if shape else None


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


def _match_in_order(
    in_network: Mapping[str, TensorSpec], in_file: Mapping[str, TensorSpec]
) -> dict[str, str]:
    """Match the first tensor of each kind with the file's first tensor of that kind, and so on.

    Returns names in the network -> names in the file, without those that have no partner.
    """
    file_names = _names_by_kind(in_file)
    partners: dict[str, str] = {}
    for kind, network_names in _names_by_kind(in_network).items():
        partners.update(zip(network_names, file_names.get(kind, []), strict=False))
    return {name: partners[name] for name in in_network if name in partners}


class _Kind(NamedTuple):
    """The kind of a tensor: its role in its layer, and the layer's type.

    The number of dimensions of the layer's weight gives the type: 4 for a convolution, 2 for a
    linear layer, 1 for BatchNorm.
    """

    role: str
    dimensions: int


def _names_by_kind(specs: Mapping[str, TensorSpec]) -> dict[_Kind, list[str]]:
    """Return the names of the tensors of each kind, in their order."""
    weight_dimensions = {}
    for name, spec in specs.items():
        layer, role = layer_and_role(name)
        if role == "weight":
            weight_dimensions[layer] = len(spec.shape)
    names: dict[_Kind, list[str]] = defaultdict(list)
    for name, spec in specs.items():
        layer, role = layer_and_role(name)
        # Without a weight in its layer, a bias or statistic is taken for BatchNorm's.
        default = 1 if role else len(spec.shape)
        kind = _Kind(role, weight_dimensions.get(layer, default))
        names[kind].append(name)
    return names


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
    renamed = next(pair for pair in in_order.pairs if pair.file_name != pair.network_name)
    return (
        f"{name} fits {model} in the order and the shapes of its tensors but not in their names"
        f" ({renamed.file_name} for {renamed.network_name}): check the matches, and allow the order"
        " (--by-order)."
    )


def _and_more(items: tuple[object, ...]) -> str:
    return f" (and {len(items) - 1:,} more)" if len(items) > 1 else ""
