"""Measures choices for all layers together, with the layers as they were rounded one by one."""

import copy
import json
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from core.search.memory import Memory
from core.search.options import Choices, plain_choices
from core.search.table import mean_divergence_of

Steps = Mapping[str, int]
"""The place of each layer's choice in its measured options, by the name of its weight."""


def choices_key(choices: Choices, made: str = "") -> str:
    """Return a text that is the same for the same choices. made: how the network is made."""
    return made + json.dumps(plain_choices(choices), sort_keys=True)


def choices_at(memory: Memory, steps: Steps) -> Choices:
    """Return the options at these places of the table."""
    return {name: memory.table[name][step].option for name, step in steps.items()}


class AssembledNetwork:
    """A copy of the network with a quantized weight for each layer, all from the table.

    No layer makes up for the errors of those before it, but a measurement takes only one pass.
    """

    def __init__(self, network: nn.Module, memory: Memory, judging: Sequence[Tensor]):
        """network: in float, in evaluation mode. judging: normalised images in batches."""
        self._memory = memory
        self._judging = judging
        self._copy = copy.deepcopy(network)
        self._steps: dict[str, int] = {}
        with torch.no_grad():
            self._reference = [network(batch) for batch in judging]

    def divergence(self, steps: Steps) -> float:
        """Return the mean KL divergence from the float network's answers, in nats.

        It is measured once for the same choices.
        """
        key = choices_key(choices_at(self._memory, steps))
        if key not in self._memory.divergences:
            self._memory.divergences[key] = self._measure(steps)
        return self._memory.divergences[key]

    @torch.no_grad()
    def _measure(self, steps: Steps) -> float:
        for name, step in steps.items():
            if self._steps.get(name) != step:
                item = self._memory.table[name][step].item
                self._copy.get_parameter(name).copy_(item.decode())
        self._steps = dict(steps)
        answers = [self._copy(batch) for batch in self._judging]
        return mean_divergence_of(answers, self._reference)
