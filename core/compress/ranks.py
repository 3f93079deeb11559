"""The rank of every single weight: sort once, and the mask of any density is one comparison away."""

import numpy as np
import torch
from torch import Tensor

from core.compress.masks import count_kept, ordered


def ranks(scores: dict[str, Tensor]) -> dict[str, Tensor]:
    """int32 of each score's shape, on the CPU: how many weights of all layers come before this one, ties by index.

    Raises UserError for NaN, naming the layer.
    """
    keys = torch.cat(ordered(scores)).cpu().numpy()
    rank = np.empty(len(keys), np.int32)
    rank[_order(keys)] = np.arange(len(keys), dtype=np.int32)
    parts = torch.from_numpy(rank).split([score.numel() for score in scores.values()])
    return {name: part.view(score.shape) for (name, score), part in zip(scores.items(), parts, strict=True)}


def _order(keys: np.ndarray) -> np.ndarray:
    """The indices by descending key. Key and index as one integer sort several times as fast as indices by key."""
    if keys.dtype == np.int64:
        return np.argsort(~keys, kind="stable")
    packed = (~keys).astype(np.int64) << 32
    packed |= np.arange(len(keys))
    packed.sort()
    return packed & 0xFFFFFFFF


def masks_at(ranks: dict[str, Tensor], density: float) -> dict[str, Tensor]:
    """Exactly the masks of `masks.keep_top` at a density in (0, 1], all layers competing."""
    count = count_kept(sum(rank.numel() for rank in ranks.values()), density)
    return {name: rank < count for name, rank in ranks.items()}
