"""Takes channels out of a network, and judges how close its answers stay to those before."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

import torch
from torch import Tensor, nn

from core.compress import masks as masking
from core.compress.recalibrate import batchnorm_
from core.deploy.smaller import SmallerNetwork, without_dead_channels
from core.events import ThinnedCandidate
from core.jobs.budget.channels.density import Speed
from core.jobs.compression_images import CompressionImages
from core.models.card import ModelCard
from core.models.parameters import batchnorm_weights
from core.search.table import mean_divergence_of
from core.training.history import copied

_BATCHES = 2
"""Batches on which BatchNorm is estimated again for each network that is tried."""


@dataclass(frozen=True, eq=False)
class ThinnedNetwork:
    """A network without some of its channels, whose weights are 0.

    method: by which the channels were chosen. masks: which weights are kept, by parameter name.
    state: its tensors. divergence: from the float network, in nats. epochs: of tuning.
    """

    method: str
    masks: dict[str, Tensor]
    state: dict[str, Tensor]
    speed: Speed
    divergence: float
    epochs: int = 0

    @property
    def density(self) -> float:
        """The fraction of the prunable weights that is kept."""
        kept = sum(int(mask.sum()) for mask in self.masks.values())
        return kept / sum(mask.numel() for mask in self.masks.values())

    def checkpoint(self) -> dict[str, Any]:
        """Return all but the epochs as plain data and tensors."""
        return {
            "method": self.method,
            "masks": self.masks,
            "state": copied(self.state),
            "speed": asdict(self.speed),
            "divergence": self.divergence,
        }

    @classmethod
    def restore(cls, saved: Mapping[str, Any]) -> "ThinnedNetwork":
        """Return the network, not tuned, of which `checkpoint` returned this."""
        return cls(**{**saved, "speed": Speed(**saved["speed"])})

    def event(self) -> ThinnedCandidate:
        """Return the event that reports it."""
        speed = self.speed
        return ThinnedCandidate(
            self.method,
            self.density,
            self.divergence,
            speed.parent_milliseconds,
            speed.milliseconds,
            speed.speedup,
            speed.least,
            speed.most,
            self.epochs,
        )


class Judge:
    """Compares networks with the float network on blends of held-back images.

    network: the float network, in evaluation mode. images: number of blends.
    """

    def __init__(self, network: nn.Module, blends: Sequence[Tensor]):
        self.network = network
        self.images = sum(len(batch) for batch in blends)
        self._blends = blends
        self._reference = self._answers(network)

    def divergence(self, network: nn.Module) -> float:
        """Return the mean KL divergence in nats of a network, which is in evaluation mode."""
        return mean_divergence_of(self._answers(network), self._reference)

    def thinned(self, masks: dict[str, Tensor], images: CompressionImages) -> nn.Module:
        """Return the float network with these masks, and BatchNorm's statistics to match.

        The statistics come from training images. Otherwise they would be those of the whole
        network, and its answers would say little about the channels that are left.
        """
        network = copy.deepcopy(self.network)
        masking.apply_(network, masks).remove()
        if batchnorm_weights(network):
            batchnorm_(network, islice(images.calibration_batches(), _BATCHES))
        return network

    @torch.no_grad()
    def _answers(self, network: nn.Module) -> list[Tensor]:
        return [network(batch) for batch in self._blends]


def smaller_of(network: nn.Module, card: ModelCard) -> SmallerNetwork:
    """Return the network on the CPU, without its removed channels."""
    return without_dead_channels(copy.deepcopy(network).cpu(), card)
