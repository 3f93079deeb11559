"""Exact selection of the highest scores, with a defined order among equal ones."""

from collections.abc import Iterable

import torch
from torch import Tensor

from core.errors import UserError

Scores = dict[str, Tensor]
"""The importance of each prunable weight, by parameter name, in the weight's shape."""


def sortable_keys(scores: Scores) -> list[Tensor]:
    """The scores of each layer, flat, as integers that sort as the scores do.

    They define what "higher" and "equal" mean. Integers compare alike in every thread, also where
    some threads flush denormal floats to zero. int64 if a layer is in float64, else int32. Raises
    UserError for NaN, naming the layer.
    """
    has_nan = read_values(score.isnan().any() for score in scores.values())
    for name, missing in zip(scores, has_nan, strict=True):
        if missing:
            raise UserError(f"The scores of {name} contain NaN.")
    types_of_32_bits = (torch.float16, torch.bfloat16, torch.float32)
    fit_32_bits = all(score.dtype in types_of_32_bits for score in scores.values())
    to_keys = _keys_of_32_bits if fit_32_bits else _keys_of_64_bits
    return [to_keys(score.detach().reshape(-1)) for score in scores.values()]


# A float's bits, read as an integer, sort as the float does, except that negative ones run
# backwards: flipping all their bits but the sign turns them round. Adding 0.0 makes a copy, in
# which -0.0 has become 0.0.


def _keys_of_32_bits(flat: Tensor) -> Tensor:
    keys = (flat.to(torch.float32) + 0.0).view(torch.int32)
    flips_if_negative = (keys >> 31).bitwise_and_(2**31 - 1)
    return keys.bitwise_xor_(flips_if_negative)


def _keys_of_64_bits(flat: Tensor) -> Tensor:
    keys = (flat.to(torch.float64) + 0.0).view(torch.int64)
    flips_if_negative = (keys >> 63).bitwise_and_(2**63 - 1)
    return keys.bitwise_xor_(flips_if_negative)


def highest_keys(keys: list[Tensor], count: int) -> list[Tensor]:
    """Masks of the `count` highest keys of all layers; among equal keys the first ones win."""
    if count == 0:
        return [torch.zeros_like(layer_keys, dtype=torch.bool) for layer_keys in keys]
    threshold = _kth_highest(torch.cat(keys), count)
    masks = [layer_keys > threshold for layer_keys in keys]
    missing = count - sum(read_values(mask.sum() for mask in masks))
    for layer_keys, mask in zip(keys, masks, strict=True):
        if missing == 0:
            break
        ties = layer_keys == threshold
        tie_count = int(ties.sum())
        if tie_count > missing:
            positions = ties.nonzero()  # ascending
            ties[positions[missing:]] = False
        mask |= ties
        missing -= min(tie_count, missing)
    return masks


def _kth_highest(keys: Tensor, k: int) -> int | Tensor:
    """The k-th highest key; reorders `keys`.

    On a CPU NumPy sorts integers in a third of the time that torch takes to select one. NumPy could
    select as well, ten times as fast as it sorts, but twenty times as slowly where many scores are
    zero.
    """
    place = len(keys) - k
    if keys.is_cuda:
        return keys.kthvalue(place + 1).values
    array = keys.cpu().numpy()
    array.sort()
    return int(array[place])


def read_values(scalars: Iterable[Tensor]) -> list[int]:
    """The values of integer or bool scalar tensors; waits only once for their device."""
    tensors = list(scalars)
    if not tensors:
        return []
    values: list[int] = torch.stack(tensors).tolist()
    return values
