"""Which network a state dict belongs to, and which of its tensors is which of the network's.

Names decide where they are the network's own. Where they are not, the tensors of each kind (the convolutions' weights,
the BatchNorms' biases, ...) are taken in their order, which a person has to confirm: shapes that agree prove little.
"""

import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from core.errors import UserError
from core.models import MODELS, TORCHVISION, info, skeleton

_COUNTER = "num_batches_tracked"  # older files lack it, and no evaluation needs it
_ROLE = re.compile(rf"(.*?)[._]?(weight|bias|running_mean|running_var|{_COUNTER})", re.DOTALL)
_BUFFERS = ("running_mean", "running_var", "relative_coords_table")  # what is floating and yet not a parameter


@dataclass(frozen=True)
class Kind:
    """What a tensor looks like: its shape, and whether its numbers are floating."""

    shape: tuple[int, ...]
    floating: bool = True

    def __str__(self) -> str:
        return (" × ".join(map(str, self.shape)) or "a single number") + ("" if self.floating else " of whole numbers")


@dataclass(frozen=True)
class Candidate:
    """A network that a state dict fits, with the classes that it tells apart; `by_order` if not by its names."""

    model: str
    num_classes: int
    by_order: bool


@dataclass(frozen=True)
class Matching:
    """What belongs to what. pairs: (their name, our name, shape). mismatched: pairs of two shapes, which are each
    told in words; missing: our names, and unexpected: theirs, that have no partner."""

    model: str
    num_classes: int
    by_order: bool
    pairs: tuple[tuple[str, str, tuple[int, ...]], ...]
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    mismatched: tuple[tuple[str, str, str, str], ...]

    @property
    def fits(self) -> bool:
        """Whether every tensor has its partner."""
        return not (self.missing or self.unexpected or self.mismatched)

    def problem(self, name: str) -> str:
        """What is wrong, in one sentence about the file called `name`, with the first tensor of each sort."""
        wrong = []
        if self.mismatched:
            theirs, ours, shape, expected = self.mismatched[0]
            partner = "the network's" if ours == theirs else f"the network's {ours}"
            wrong.append(f"its {theirs} is {shape}, not {expected} as {partner}{_more(self.mismatched)}")
        if self.missing:
            wrong.append(f"it has no {self.missing[0]}{_more(self.missing)}")
        if self.unexpected:
            wrong.append(f"its {self.unexpected[0]}{_more(self.unexpected)} has no place there")
        return f"{name} is no {self.model} for {self.num_classes:,} classes: {'; '.join(wrong)}."

    def state(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The tensors under our names, ready for `load_state_dict`; counters that are missing are 0."""
        found = {ours: state[theirs] for theirs, ours, _ in self.pairs}
        return {name: found[name] if name in found else torch.tensor(0)
                for name in tensors(self.model, self.num_classes)}


def recognise(state: Mapping[str, Tensor]) -> list[Candidate]:
    """The networks of the registry that the state dict fits by name; if there is none, those by order and shape.

    Any layer may be the last one, whose outputs are the classes. With as many classes as the registry counts, the
    network would have the registry's parameters: that leaves next to none to be looked at.
    """
    held, heads = _parameters(state), _heads(state)
    likely = {(facts.name, classes): None for facts in (MODELS | TORCHVISION).values() for classes, each in heads
              if held + (facts.classes - classes) * each == facts.parameters}
    found = [Candidate(model, classes, matching.by_order) for model, classes in likely
             if (matching := compare(state, model, classes, by_order=True)).fits]
    return [candidate for candidate in found if not candidate.by_order] or found


def stranger(state: Mapping[str, Tensor], name: str) -> str:
    """What to say of a state dict in the file called `name` that no network of the registry fits."""
    first, tensor = next(iter(state.items()))
    return (f"{name} fits none of the {len(MODELS | TORCHVISION)} networks that are known here: it has "
            f"{_parameters(state):,} parameters in {len(state):,} tensors, of which the first is {first} "
            f"({Kind(tuple(tensor.shape), tensor.is_floating_point())}).")


def match(state: Mapping[str, Tensor], model: str, num_classes: int, by_order: bool = False, name: str = "The file"
          ) -> Matching:
    """The partners of all tensors, by name, or if the names differ and `by_order` allows it by order and shape.

    Raises UserError, in one sentence that names the first wrong tensor, if they do not fit.
    """
    matching = compare(state, model, num_classes, by_order)
    if matching.fits:
        return matching
    if not by_order and (other := compare(state, model, num_classes, True)).fits:
        theirs, ours, _ = next(pair for pair in other.pairs if pair[0] != pair[1])
        raise UserError(f"{name} fits {model} in the order and the shapes of its tensors but not in their names "
                        f"({theirs} for {ours}): look at the matches, and allow it by order (--by-order).")
    raise UserError(matching.problem(name))


def compare(state: Mapping[str, Tensor], model: str, num_classes: int, by_order: bool = False) -> Matching:
    """Like `match`, but also for tensors that do not fit."""
    model = info(model).name
    ours = tensors(model, num_classes)
    theirs = {name: Kind(tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in state.items()}
    by_name = _matching(model, num_classes, ours, theirs, {name: name for name in ours if name in theirs})
    if by_name.fits or not by_order:
        return by_name
    return _matching(model, num_classes, ours, theirs, _in_order(ours, theirs), by_order=True)


def classes_in(state: Mapping[str, Tensor], model: str, by_order: bool = False) -> int | None:
    """How many classes the state dict tells apart, if it is one of the network's; None if that cannot be said."""
    two, three = tensors(info(model).name, 2), tensors(info(model).name, 3)
    head = next(name for name in two if two[name] != three[name])
    theirs = {name: Kind(tuple(tensor.shape), tensor.is_floating_point()) for name, tensor in state.items()}
    partner = head if head in theirs else _in_order(two, theirs).get(head) if by_order else None
    return theirs[partner].shape[0] if partner and theirs[partner].shape else None


@lru_cache(maxsize=32)
def tensors(model: str, num_classes: int) -> dict[str, Kind]:
    """The tensors of a network by name, in its own order; not to be changed."""
    return {name: Kind(tuple(tensor.shape), tensor.is_floating_point())
            for name, tensor in skeleton(model, num_classes).state_dict().items()}


# -- inside ---------------------------------------------------------------------------------------------------------

def _matching(model: str, num_classes: int, ours: Mapping[str, Kind], theirs: Mapping[str, Kind],
              partners: Mapping[str, str], by_order: bool = False) -> Matching:
    """Judge the pairs of our names and theirs."""
    taken = set(partners.values())
    agreeing = {name: other for name, other in partners.items() if ours[name] == theirs[other]}
    return Matching(
        model, num_classes, by_order,
        pairs=tuple((other, name, ours[name].shape) for name, other in agreeing.items()),
        missing=tuple(name for name in ours if name not in partners and _role(name) != _COUNTER),
        unexpected=tuple(name for name in theirs if name not in taken),
        mismatched=tuple((other, name, str(theirs[other]), str(ours[name])) for name, other in partners.items()
                         if name not in agreeing))


def _in_order(ours: Mapping[str, Kind], theirs: Mapping[str, Kind]) -> dict[str, str]:
    """Our names and theirs, the first of each kind to the first of it."""
    waiting: dict[tuple, deque] = {}
    for name, kind in _sorts(theirs).items():
        waiting.setdefault(kind, deque()).append(name)
    return {name: waiting[kind].popleft() for name, kind in _sorts(ours).items() if waiting.get(kind)}


def _sorts(kinds: Mapping[str, Kind]) -> dict[str, tuple]:
    """What each tensor does, and in which sort of layer: that is told by the dimensions of the layer's weight."""
    parts = {name: match.groups() if (match := _ROLE.fullmatch(name)) else (name, "") for name in kinds}
    dimensions = {layer: len(kinds[name].shape) for name, (layer, role) in parts.items() if role == "weight"}
    return {name: (role, dimensions.get(layer, len(kinds[name].shape) if not role else 1))
            for name, (layer, role) in parts.items()}


def _role(name: str) -> str:
    found = _ROLE.fullmatch(name)
    return found.group(2) if found else ""


def _parameters(state: Mapping[str, Tensor]) -> int:
    return sum(tensor.numel() for name, tensor in state.items()
               if tensor.is_floating_point() and not name.endswith(_BUFFERS))


def _heads(state: Mapping[str, Tensor]) -> set[tuple[int, int]]:
    """For every layer that may be the last one: its outputs, and the parameters of each, without a bias and with."""
    return {(len(tensor), tensor[0].numel() + bias) for name, tensor in state.items() for bias in (0, 1)
            if _role(name) == "weight" and tensor.ndim in (2, 4) and len(tensor)}


def _more(items: tuple) -> str:
    return f" (and {len(items) - 1:,} more)" if len(items) > 1 else ""
