"""Keeps the best whole channels of a network: masks in which no channel is kept in part."""

import torch
from torch import Tensor

from core.compress.channels.scores import channel_scores
from core.compress.pruning.selection import Scores
from core.compress.pruning.trained import density_of, without_zeros
from core.errors import UserError
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel


def whole_channels(scores: Scores, density: float) -> dict[str, Tensor]:
    """Return masks that keep at most this fraction of all weights, as many whole channels as fit.

    scores: of a method that cuts channels, in which the weights of one group of channels are equal.
    No fewer than `least_density` are kept, so that each layer keeps a channel.
    """
    every = _in_order(scores)
    count = min(len(every), max(1, round(density * len(every))))
    threshold = every[count - 1]
    larger = every[every > threshold]
    if int((every >= threshold).sum()) > count and len(larger):
        threshold = larger[-1]
    threshold = torch.minimum(threshold, _least_threshold(scores))
    return {name: score >= threshold.to(score.device) for name, score in scores.items()}


def least_density(scores: Scores) -> float:
    """Return the smallest fraction of the weights with which each layer keeps a channel."""
    every = _in_order(scores)
    return int((every >= _least_threshold(scores)).sum()) / len(every)


def check_channels(parent: SavedModel) -> None:
    """Raise UserError if no channel can leave the network."""
    network = parent.network()
    weights = prunable_weights(network)
    importance = {name: weight.detach().abs() for name, weight in weights.items()}
    scores = channel_scores(network, importance, parent.card.side)
    if least_density(without_zeros(scores, weights)) >= density_of(weights):
        raise UserError(
            f"{parent.card.model} has no channel that can be removed, and nothing else makes it"
            " faster: take a network with several layers, or a limit of bytes or of accuracy."
        )


def _in_order(scores: Scores) -> Tensor:
    """Return all scores, the highest first."""
    every = torch.cat([score.flatten().cpu() for score in scores.values()])
    return every.sort(descending=True).values


def _least_threshold(scores: Scores) -> Tensor:
    """Return the highest threshold at which each layer keeps a weight."""
    return torch.stack([score.max().cpu() for score in scores.values()]).min()
