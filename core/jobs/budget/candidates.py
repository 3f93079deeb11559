"""Makes the networks that a budget run may end with: rounded together, packed and measured."""

import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from core.compress import codec
from core.compress.affine import QuantizedWeight
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.walk import layer_of, replace_weights_
from core.compress.packed.ledger import Ledger
from core.config import BudgetRecipe
from core.events import Candidate, Event
from core.inspect.behaviour.paired import most_lost, points_lost
from core.jobs.compression_images import CompressionImages
from core.jobs.pack_and_test import add_recipe
from core.jobs.recalibration import recalibrate_
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel
from core.search.halves import HalfCheck
from core.search.joint import Steps, choices_at, choices_key
from core.search.memory import Memory, PackedCandidate
from core.search.options import (
    Choices,
    LayerQuantizer,
    plain_choices,
    smallest_items,
)
from core.search.plan import SearchPace, joint_seconds
from core.search.table import mean_divergence_of


class CandidateMaker:
    """Makes candidates for a budget, each only once.

    network: the float network, on the device, in evaluation mode. judging: blends of held-back
    images that compare candidates, in normalised batches. rounding: batches on which layers are
    rounded; empty for nearest rounding. check_loss: measures each candidate on half A, if the limit
    is one of accuracy. device: of the network.
    """

    def __init__(
        self,
        recipe: BudgetRecipe,
        parent: SavedModel,
        network: nn.Module,
        memory: Memory,
        judging: Sequence[Tensor],
        rounding: Sequence[Tensor],
        check_loss: HalfCheck | None = None,
    ):
        self.recipe = recipe
        self.parent = parent
        self.network = network
        self.memory = memory
        self._judging = judging
        self._rounding = rounding
        self._check_loss = check_loss
        self._reference = self._answers(network)
        self.device = judging[0].device

    @property
    def images_a_candidate(self) -> int:
        """How many images pass through a network when it is measured."""
        half = 0 if self._check_loss is None else self._check_loss.images
        return sum(len(batch) for batch in self._judging) + half

    def seconds_a_candidate(self, pace: SearchPace) -> float:
        """Estimate how long it takes to round all layers together and to measure the result."""
        rounding = sum(len(batch) for batch in self._rounding)
        return joint_seconds(pace, rounding) + pace.image * self.images_a_candidate

    def packed_bytes(self, steps: Steps) -> int:
        """Return the size of the packed file with the layers as the table has them."""
        return self._packed_bytes(self._table_items(steps))

    def nearest_bytes(self, choices: Choices) -> int:
        """Return the size of the packed file with nearest rounding."""
        return self._packed_bytes(self._nearest_items(choices))

    def _packed_bytes(self, items: Mapping[str, QuantizedWeight]) -> int:
        data, _ = pack_network(self.recipe, self.parent, self.network.state_dict(), items)
        return len(data)

    def _nearest_items(self, choices: Choices) -> dict[str, QuantizedWeight]:
        return {
            name: option.quantize(self.network.get_parameter(name).detach(), name)
            for name, option in choices.items()
        }

    def assemble(self, steps: Steps) -> Generator[Event, None, PackedCandidate]:
        """Take all layers as the table has them, each rounded alone."""
        choices = choices_at(self.memory, steps)
        key = choices_key(choices, "assembled ")
        if key in self.memory.candidates:
            return self.memory.candidates[key]
        return (yield from self.add(key, choices, self.network, self._table_items(steps)))

    def _table_items(self, steps: Steps) -> dict[str, QuantizedWeight]:
        return {name: self.memory.table[name][step].item for name, step in steps.items()}

    def join(self, choices: Choices) -> Generator[Event, None, PackedCandidate]:
        """Round all layers one after the other, each making up for the errors before it."""
        key = choices_key(choices, "joint ")
        if key in self.memory.candidates:
            return self.memory.candidates[key]
        items: dict[str, QuantizedWeight] = {}

        def quantized(name: str, inputs: InputMoments | None) -> Tensor:
            layer = layer_of(self.network, name)
            items[name] = LayerQuantizer(layer, name, inputs).quantize(choices[name])
            return items[name].decode()

        if self._rounding:
            changed = copy.deepcopy(self.network)
            stage = "Compensated rounding"
            yield from replace_weights_(
                changed, self.network, list(choices), self._rounding, quantized, stage
            )
        else:
            items |= self._nearest_items(choices)
        return (yield from self.add(key, choices, self.network, items))

    def smallest(self) -> Generator[Event, None, PackedCandidate]:
        """Make the smallest network that there is, with nearest rounding."""
        key = "smallest"
        if key in self.memory.candidates:
            return self.memory.candidates[key]
        choices, items = smallest_items(self.recipe.kinds, prunable_weights(self.network))
        return (yield from self.add(key, choices, self.network, items))

    def recalibrated(
        self, made: PackedCandidate, images: CompressionImages
    ) -> Generator[Event, None, PackedCandidate]:
        """Re-estimate BatchNorm of a candidate as far as that lowers the divergence."""
        key = choices_key(made.choices, "BatchNorm ")
        if key in self.memory.candidates:
            return self.memory.candidates[key]
        network = self.network_of(made)
        yield from recalibrate_(network, self.network, images, "auto")
        items = quantized_items(made)
        return (yield from self.add(key, made.choices, network, items))

    def add(
        self,
        key: str,
        choices: Choices,
        network: nn.Module,
        items: Mapping[str, QuantizedWeight],
        epochs: int = 0,
    ) -> Generator[Event, None, PackedCandidate]:
        """Pack the items and the other tensors of the network, and measure what the file holds.

        Ends with the Candidate event.
        """
        data, _ = pack_network(self.recipe, self.parent, network.state_dict(), items)
        made = PackedCandidate(choices, data, 0.0, epochs)
        packed_network = self.network_of(made)
        divergence = mean_divergence_of(self._answers(packed_network), self._reference)
        made = replace(made, divergence=divergence)
        lost: tuple[float, float] | tuple[()] = ()
        if self._check_loss is not None:
            counts = yield from self._check_loss.compare(packed_network)
            lost = (points_lost(counts), most_lost(counts))
            four = (counts.both_right, counts.broken, counts.fixed, counts.both_wrong)
            made = replace(made, lost=four)
        self.memory.candidates[key] = made
        yield Candidate(len(data), divergence, plain_choices(choices), epochs, *lost)
        return made

    def network_of(self, made: PackedCandidate) -> nn.Module:
        """Return the network that a candidate's packed file holds, in evaluation mode."""
        network = copy.deepcopy(self.network)
        network.load_state_dict(codec.unpack(made.data).state())
        return network

    @torch.no_grad()
    def _answers(self, network: nn.Module) -> list[Tensor]:
        return [network(batch) for batch in self._judging]


def quantized_items(made: PackedCandidate) -> dict[str, QuantizedWeight]:
    """Return the quantized weights of a candidate by name, as its packed file holds them."""
    tensors = codec.unpack(made.data).tensors
    items = {name: tensors[name] for name in made.choices}
    return {name: item for name, item in items.items() if not isinstance(item, Tensor)}


def pack_network(
    recipe: BudgetRecipe,
    parent: SavedModel,
    state: Mapping[str, Tensor],
    items: Mapping[str, QuantizedWeight],
) -> tuple[bytes, Ledger]:
    """Pack the items, and all other tensors as they are in the state; return file and ledger."""
    content: dict[str, Tensor | QuantizedWeight] = {
        name: items[name] if name in items else state[name] for name in parent.state
    }
    return codec.pack(content, add_recipe(parent.card, recipe), recipe.rest)
