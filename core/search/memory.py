"""Keeps what a search decided and measured, so that a stopped one continues to the same end.

A search is repeated from its start when a run continues. All that was measured or decided by the
clock is taken from here, so the repetition takes no time and comes to the same choices.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from core.compress.affine import Affine, QuantizedWeight
from core.compress.kmeans import Codebook
from core.search.options import Choices, LayerOption, choices_of, option_of, plain_choices


@dataclass(frozen=True, eq=False)
class MeasuredOption:
    """One option of a layer, measured with all other layers in float.

    item: the quantized weight. bytes: its size in the packed file. damage: mean KL divergence from
    the float network's answers, in nats.
    """

    option: LayerOption
    item: QuantizedWeight
    bytes: int
    damage: float


@dataclass(frozen=True, eq=False)
class PackedCandidate:
    """A network that the run may end with.

    choices: of its layers. data: the packed file. divergence: from the float network on blends of
    held-back images, in nats. epochs: of tuning. lost: the four counts of its answers on half A
    beside those of the float network, in the order of `PairedCounts`; None if they are not known.
    """

    choices: Choices
    data: bytes
    divergence: float
    epochs: int = 0
    lost: tuple[int, int, int, int] | None = None


Table = dict[str, list[MeasuredOption]]
"""The measured options of each layer, by the name of its weight, by ascending bytes."""


class Memory:
    """The decisions, the table and the candidates of a search.

    decisions: numbers that the clock decided, or that are slow to find, by name. table: the layers
    that are measured. candidates: those that were packed and measured, by a key. divergences: of
    choices whose layers were rounded one by one, by a key.
    """

    def __init__(self) -> None:
        self.decisions: dict[str, float] = {}
        self.table: Table = {}
        self.candidates: dict[str, PackedCandidate] = {}
        self.divergences: dict[str, float] = {}

    def decide(self, name: str, decision: Callable[[], float]) -> float:
        """Return the decision of this name, which is made once."""
        if name not in self.decisions:
            self.decisions[name] = decision()
        return self.decisions[name]

    def checkpoint(self) -> dict[str, Any]:
        """Return everything as plain data and tensors."""
        return {
            "decisions": dict(self.decisions),
            "divergences": dict(self.divergences),
            "table": {
                name: [_plain_option(option) for option in options]
                for name, options in self.table.items()
            },
            "candidates": {key: _plain_candidate(made) for key, made in self.candidates.items()},
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Continue from what `checkpoint` returned."""
        self.decisions = dict(saved["decisions"])
        self.divergences = dict(saved["divergences"])
        self.table = {
            name: [_option_of(plain) for plain in options]
            for name, options in saved["table"].items()
        }
        self.candidates = {key: _candidate_of(plain) for key, plain in saved["candidates"].items()}


def plain_table(table: Table) -> dict[str, list[dict[str, float]]]:
    """Return the choice, the bytes and the damage of each option of each layer, as plain data."""
    return {
        name: [
            {**made.option.to_dict(), "bytes": made.bytes, "damage": made.damage}
            for made in options
        ]
        for name, options in table.items()
    }


def _plain_option(measured: MeasuredOption) -> dict[str, Any]:
    item = measured.item
    plain = {
        "option": measured.option.to_dict(),
        "bytes": measured.bytes,
        "damage": measured.damage,
    }
    if isinstance(item, Codebook):
        return plain | {"codebook": [item.centroids, item.indices, item.mask]}
    return plain | {"affine": [item.values, item.scale, item.zero_point, item.bits, item.axis]}


def _option_of(plain: Mapping[str, Any]) -> MeasuredOption:
    item: QuantizedWeight
    item = Codebook(*plain["codebook"]) if "codebook" in plain else Affine(*plain["affine"])
    return MeasuredOption(option_of(plain["option"]), item, plain["bytes"], plain["damage"])


def _plain_candidate(made: PackedCandidate) -> dict[str, Any]:
    return {
        "choices": plain_choices(made.choices),
        "data": torch.from_numpy(np.frombuffer(made.data, np.uint8).copy()),
        "divergence": made.divergence,
        "epochs": made.epochs,
        "lost": None if made.lost is None else list(made.lost),
    }


def _candidate_of(plain: Mapping[str, Any]) -> PackedCandidate:
    lost = plain["lost"]
    return PackedCandidate(
        choices_of(plain["choices"]),
        plain["data"].numpy().tobytes(),
        plain["divergence"],
        plain["epochs"],
        None if lost is None else (lost[0], lost[1], lost[2], lost[3]),
    )
