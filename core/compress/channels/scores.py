"""Scores whole channels, for pruning that leaves a smaller dense network.

A channel's importance is the sum of its weights' importance, as in Pruning Filters for Efficient
ConvNets (arXiv:1608.08710) for |weight|. Channels that hang together are one group, as in DepGraph
(arXiv:2301.12900).
"""

import torch
from torch import Tensor, nn

from core.compress.channels.readers import LayerChannels
from core.compress.channels.walk import follow_channels
from core.compress.pruning.selection import Scores


def channel_scores(network: nn.Module, importance: Scores, side: int) -> Scores:
    """Score each weight by the worse one of the two channels that it joins.

    importance: that of each weight, at least 0, by parameter name. side: height and width of an
    image. Returns scores in float32, in the shapes of the weights and on their devices.

    A channel's importance is the sum over the weights that make it, and over all channels that
    hang together with it: they share one place in the order. A weight scores 1 for the last
    channel, 2 for the one before it, and so on. So `keep_top` keeps the best channels with all
    weights between them. It meets its exact count with a part of the weights of one last group.

    The best channel of every layer comes before all others, so that each layer keeps one. The
    outputs of the network, and channels that cannot be removed, come first of all. The network is
    not changed.
    """
    channels = follow_channels(network, side)
    layers = [layer for layer in channels.layers if f"{layer.name}.weight" in importance]
    sums = _sums(layers, importance, len(channels.fixed))
    best = _best_of_each_layer(layers, sums, channels.fixed)
    places = _places(sums, channels.fixed, best)
    places[channels.fixed] = len(places) + 1
    scores = {name: torch.full_like(score, len(places) + 1) for name, score in importance.items()}
    for layer in layers:
        name = f"{layer.name}.weight"
        joined = places[layer.outputs]
        if layer.kind == "mixing":
            joined = torch.minimum(joined[:, None], places[layer.inputs])
        shape = [*joined.shape, *[1] * (scores[name].ndim - joined.ndim)]
        scores[name] = joined.view(shape).to(scores[name]).expand_as(scores[name]).clone()
    return scores


def _sums(layers: list[LayerChannels], importance: Scores, classes: int) -> Tensor:
    """Return the importance of each class of channels, (classes,) float64."""
    sums = torch.zeros(classes, dtype=torch.float64)
    for layer in layers:
        of_outputs = importance[f"{layer.name}.weight"].flatten(1).sum(1, dtype=torch.float64)
        sums.index_add_(0, layer.outputs, of_outputs.cpu())
    return sums


def _best_of_each_layer(layers: list[LayerChannels], sums: Tensor, fixed: Tensor) -> Tensor:
    """Return the best class of each layer's outputs: (classes,) bool."""
    best = torch.zeros(len(sums), dtype=torch.bool)
    for layer in layers:
        if not fixed[layer.outputs].any():
            best[layer.outputs[sums[layer.outputs].argmax()]] = True
    return best


def _places(sums: Tensor, fixed: Tensor, best: Tensor) -> Tensor:
    """Return the places from the last one, 1, to the first one: (classes,).

    The lower index wins a tie. Fixed channels come first, then the best of each layer.
    """
    order = sums.sort(descending=True, stable=True).indices
    groups = (fixed, best & ~fixed, ~(fixed | best))
    order = torch.cat([order[group[order]] for group in groups])
    places = torch.empty_like(order)
    places[order] = torch.arange(len(order), 0, -1)
    return places
