"""Rankings of all weights by their scores: sort once, then read off any density.

`LayerRanking` counts in microseconds how many weights each layer keeps. `rank_weights` gives every
single weight its rank, which yields the masks themselves.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.compress.masks import Masks, check_density, count_kept, keep_top
from core.compress.pruning.selection import Scores, sortable_keys
from core.config import Pattern

_BLOCK = 65_536
"""Ranks that share one row of prefix counts. The rest of a count then fits into a CPU's cache."""


@dataclass(frozen=True, eq=False)
class LayerRanking:
    """The layer of each weight, from the highest score to the lowest; one or two bytes a weight.

    layers: (n,) uint8, or uint16 for more than 256 layers. `layers[r]` is the index of the layer
    that the weight of rank r belongs to. Rank 0 has the highest score.
    counts_before: (blocks + 1, layers) int64. `counts_before[b, i]` is the number of weights of
    layer i among the first b blocks of ranks.
    totals: the number of weights of each layer by its name, in the order of the indices.
    """

    layers: NDArray[np.unsignedinteger[Any]]
    counts_before: NDArray[np.int64]
    totals: dict[str, int]

    def kept(self, density: float, layerwise: bool = False) -> dict[str, int]:
        """Count the weights of each layer that `keep_top` keeps. Raises UserError as it does."""
        check_density(density)
        if layerwise:
            return {
                name: count_kept(total, density, layerwise) for name, total in self.totals.items()
            }
        count = count_kept(len(self.layers), density)
        block = count // _BLOCK
        after_block = self.layers[block * _BLOCK : count]
        counts = self.counts_before[block] + np.bincount(after_block, minlength=len(self.totals))
        return dict(zip(self.totals, counts.tolist(), strict=True))

    def dead(self, density: float, layerwise: bool = False) -> list[str]:
        """The layers that would keep nothing."""
        return [name for name, kept in self.kept(density, layerwise).items() if kept == 0]


def rank_layers(scores: Scores) -> LayerRanking:
    """Sort all scores, highest first, ties by index. Raises UserError for NaN, naming the layer."""
    return layers_by_rank(rank_weights(scores))


def layers_by_rank(ranks: dict[str, Tensor]) -> LayerRanking:
    """The layer of each rank, from the ranks of all weights as `rank_weights` gives them."""
    totals = {name: layer_ranks.numel() for name, layer_ranks in ranks.items()}
    dtype: np.dtype[np.unsignedinteger[Any]] = np.dtype(np.uint8)
    if len(totals) > 256:
        dtype = np.dtype(np.uint16)
    layers = np.empty(sum(totals.values()), dtype)
    for index, layer_ranks in enumerate(ranks.values()):
        layers[layer_ranks.numpy().reshape(-1)] = index
    counts = [np.zeros(len(totals), np.int64)]
    for start in range(0, len(layers), _BLOCK):
        counts.append(np.bincount(layers[start : start + _BLOCK], minlength=len(totals)))
    return LayerRanking(layers, np.cumsum(counts, axis=0), totals)


def rank_weights(scores: Scores) -> dict[str, Tensor]:
    """The rank of every weight among the weights of all layers, 0 for the highest score.

    int32 of each score's shape, on the CPU; ties by index. Raises UserError for NaN, naming the
    layer.
    """
    sizes = [score.numel() for score in scores.values()]
    positions = np.arange(sum(sizes), dtype=np.int32)
    ranks = np.empty_like(positions)
    ranks[_in_descending_order(sortable_keys(scores), positions)] = positions
    parts = torch.split(torch.from_numpy(ranks), sizes)
    return {
        name: part.view(score.shape)
        for (name, score), part in zip(scores.items(), parts, strict=True)
    }


def masks_at(
    ranks: dict[str, Tensor], density: float, layerwise: bool = False, pattern: Pattern = "free"
) -> Masks:
    """Exactly the masks of `masks.keep_top` at a density in (0, 1], from `rank_weights`."""
    if pattern != "free":
        return keep_top(
            {name: -rank.double() for name, rank in ranks.items()}, density, False, pattern
        )
    if layerwise:
        return {name: _highest_of_layer(rank, density) for name, rank in ranks.items()}
    count = count_kept(sum(rank.numel() for rank in ranks.values()), density)
    return {name: rank < count for name, rank in ranks.items()}


def _highest_of_layer(ranks: Tensor, density: float) -> Tensor:
    count = count_kept(ranks.numel(), density, layerwise=True)
    if count == 0:
        return torch.zeros_like(ranks, dtype=torch.bool)
    last = np.partition(ranks.numpy().reshape(-1), count - 1)[count - 1]
    return ranks <= int(last)


def _in_descending_order(
    keys: list[Tensor], items: NDArray[np.integer[Any]]
) -> NDArray[np.integer[Any]]:
    """Sort the items (n,), each below 2^32, by their n keys, the highest key first.

    Items of equal keys are in ascending order. Key and item become one integer of 64 bits where
    both fit: plain integers sort several times as fast as the indices of an array.
    """
    if keys[0].is_cuda or keys[0].dtype == torch.int64:
        order = torch.cat(keys).sort(descending=True, stable=True).indices
        items_there = torch.from_numpy(items.astype(np.int32)).to(order.device)
        return items_there[order].cpu().numpy()
    packed = np.empty(len(items), np.int64)
    np.concatenate([layer_keys.cpu().numpy() for layer_keys in keys], out=packed)
    np.invert(packed, out=packed)  # the highest key becomes the lowest number
    packed <<= 32
    packed |= items
    packed.sort()
    packed &= 2**32 - 1
    return packed
