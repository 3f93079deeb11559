"""Forecasts which share of the kept weights can still matter, at every density."""

import threading
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from core.compress.masks import Masks, counts
from core.compress.pruning.flow import live_weights
from core.compress.ranking import masks_at
from core.config import Pattern
from core.models.parameters import prunable_weights

MOST_WEIGHTS = 50_000_000
"""Networks with more prunable weights are not followed: it would take gigabytes of memory."""

LOW_SHARE = 0.95
"""Below this share of weights that can matter, a person is warned."""


@dataclass(frozen=True)
class LiveShare:
    """How much of what a pruning keeps can still matter.

    share: fraction of the kept weights that are on a path from the image to an output.
    cut_layers: names of the layers that keep weights of which none is on a path.
    """

    share: float
    cut_layers: tuple[str, ...]

    @property
    def is_low(self) -> bool:
        return self.share < LOW_SHARE


def live_share(model: nn.Module, masks: Masks, side: int) -> LiveShare:
    """Follow the paths of the masked network; see `core.compress.pruning.flow.live_weights`."""
    kept = {name: count for name, (count, _) in counts(masks).items()}
    live = {name: count for name, (count, _) in counts(live_weights(model, masks, side)).items()}
    return LiveShare(
        share=sum(live.values()) / max(1, sum(kept.values())),
        cut_layers=tuple(name for name in kept if kept[name] > 0 and live[name] == 0),
    )


@dataclass(frozen=True, eq=False)
class RankedPaths:
    """Tells the live share of a scored network at any density.

    model: the network; the values of its prunable weights are not used. ranks: the ranks of its
    prunable weights. side: height and width of an image.
    """

    model: nn.Module
    ranks: dict[str, Tensor]
    side: int
    _known: dict[tuple[float, bool, str], LiveShare] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def at(self, density: float, layerwise: bool, pattern: Pattern = "free") -> LiveShare:
        """Follow the paths at a density in (0, 1], or of a pattern. The result is remembered."""
        key = (density, layerwise, pattern)
        with self._lock:  # the previews of several people share the network
            if key not in self._known:
                masks = masks_at(self.ranks, density, layerwise, pattern)
                self._known[key] = live_share(self.model, masks, self.side)
            return self._known[key]


def follow_ranks(model: nn.Module, ranks: dict[str, Tensor], side: int) -> RankedPaths | None:
    """Prepare to follow the paths of a network, or return None if it is too large for that.

    Mutates the model: it moves to the CPU, and its prunable weights become a single number each.
    """
    if sum(layer_ranks.numel() for layer_ranks in ranks.values()) > MOST_WEIGHTS:
        return None
    model.cpu()
    for weight in prunable_weights(model).values():
        weight.data = torch.zeros(1).expand(weight.shape)
    return RankedPaths(model, ranks, side)
