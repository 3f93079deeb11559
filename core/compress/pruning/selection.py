"""Exact selection of the highest scores, with a defined order among equal ones."""

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from core.errors import UserError

Scores = dict[str, Tensor]
"""The importance of each prunable weight, by parameter name, in the weight's shape."""

_Keys = NDArray[np.signedinteger[Any]]

_CHUNK = 2**18  # keys that are counted at once: what is computed of them stays in a CPU's cache
_DIGIT_BITS = 16
_DIGITS = 2**_DIGIT_BITS
_INFINITY_KEYS = {torch.int32: 0x7F80_0000, torch.int64: 0x7FF0_0000_0000_0000}


def sortable_keys(scores: Scores) -> list[Tensor]:
    """The scores of each layer, flat, as integers that sort as the scores do.

    They define what "higher" and "equal" mean. Integers compare alike in every thread, also where
    some threads flush denormal floats to zero. int64 if a layer is in float64, else int32. Raises
    UserError for NaN, naming the layer.
    """
    types_of_32_bits = (torch.float16, torch.bfloat16, torch.float32)
    fit_32_bits = all(score.dtype in types_of_32_bits for score in scores.values())
    float_type = torch.float32 if fit_32_bits else torch.float64
    keys = [_keys_of(score.detach(), float_type) for score in scores.values()]
    _refuse_nan(scores, keys)
    return keys


def _keys_of(score: Tensor, float_type: torch.dtype) -> Tensor:
    """A float's bits, read as an integer, sort as the float does, except for negative floats.

    Those run backwards, and flipping all their bits but the sign turns them round. Adding 0.0 makes
    0.0 of -0.0.
    """
    floats = score.to(float_type, memory_format=torch.contiguous_format, copy=True)
    bits = floats.reshape(-1).add_(0.0)
    keys = bits.view(torch.int32 if float_type == torch.float32 else torch.int64)
    if keys.device.type == "cpu" and not _has_negative(keys):
        return keys
    size = 8 * keys.element_size()
    flips_if_negative = (keys >> (size - 1)).bitwise_and_(2 ** (size - 1) - 1)
    return keys.bitwise_xor_(flips_if_negative)


def _has_negative(keys: Tensor) -> bool:
    return bool(keys.numel() > 0 and keys.amin() < 0)


def _refuse_nan(scores: Scores, keys: list[Tensor]) -> None:
    """Raise UserError for NaN. Its key is beyond that of one of the infinities."""
    names = [name for name, score in scores.items() if score.numel() > 0]
    bounds = [bound for layer_keys in keys if len(layer_keys) for bound in layer_keys.aminmax()]
    values = read_values(bounds)
    for name, lowest, highest in zip(names, values[::2], values[1::2], strict=True):
        infinity = _INFINITY_KEYS[bounds[0].dtype]
        if highest > infinity or lowest < ~infinity:
            raise UserError(f"The scores of {name} contain NaN.")


def highest_keys(keys: list[Tensor], count: int) -> list[Tensor]:
    """Masks of the `count` highest keys of all layers; among equal keys the first ones win."""
    if count == 0:
        return [torch.zeros_like(layer_keys, dtype=torch.bool) for layer_keys in keys]
    threshold, higher, ties = _kth_highest(keys, count)
    if higher + ties == count:
        return [layer_keys >= threshold for layer_keys in keys]
    masks = [layer_keys > threshold for layer_keys in keys]
    _add_first_ties_(masks, keys, threshold, count - higher)
    return masks


def highest_of_groups(keys: Tensor, count: int, group: int) -> Tensor:
    """Mask of the `count` highest keys of each `group` in a row along the input channels.

    keys: (out, in, ...), `in` a multiple of `group`. Among equal keys the first channel wins. At
    each place of a kernel the channels are grouped apart, because NVIDIA's tensor cores read the
    channels of a convolution one after the other (channels last). The mask has the shape of `keys`.
    """
    channels_last = keys.movedim(1, -1)
    groups = channels_last.reshape(-1, group)
    places = groups.sort(dim=1, descending=True, stable=True).indices[:, :count]
    mask = torch.zeros_like(groups, dtype=torch.bool).scatter_(1, places, True)
    return mask.view(channels_last.shape).movedim(-1, 1).contiguous()


def _add_first_ties_(masks: list[Tensor], keys: list[Tensor], threshold: int, missing: int) -> None:
    """Let the first `missing` keys that are equal to the threshold into the masks."""
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


def _kth_highest(keys: list[Tensor], k: int) -> tuple[int, int, int]:
    """The k-th highest key of all layers, the number of higher keys, and that of equal ones.

    A GPU selects fast by itself. On a CPU it is a radix selection: the first 16 bits of all keys
    are counted, which tells the first 16 bits of the k-th highest, then the next 16 bits of the
    keys that begin with those, and so on. It takes as long whatever the scores are, and a seventh
    of the time that sorting takes.
    """
    if keys[0].is_cuda:
        return _kth_highest_on_gpu(torch.cat(keys), k)
    arrays: list[_Keys] = [layer_keys.cpu().numpy() for layer_keys in keys]
    higher = 0
    base = -_DIGITS // 2
    for shift in range(8 * arrays[0].itemsize - _DIGIT_BITS, -1, -_DIGIT_BITS):
        counts = _count_digits(arrays, shift, base)
        of_highest_digits = counts[::-1].cumsum()
        place = int(np.searchsorted(of_highest_digits, k - higher))
        equal = int(counts[::-1][place])
        higher += int(of_highest_digits[place]) - equal
        first_bits = base + _DIGITS - 1 - place
        if shift > 0:
            arrays = [_keys_that_begin_with(first_bits, array, shift) for array in arrays]
            base = first_bits << _DIGIT_BITS
    return first_bits, higher, equal


def _count_digits(arrays: list[_Keys], shift: int, base: int) -> NDArray[np.int64]:
    """How many keys have each digit, (key >> shift) - base in [0, 2^16)."""
    counts = np.zeros(_DIGITS, np.int64)
    for array in arrays:
        for chunk in _chunks(array):
            counts += np.bincount((chunk >> shift) - base, minlength=_DIGITS)
    return counts


def _keys_that_begin_with(first_bits: int, array: _Keys, shift: int) -> _Keys:
    parts = [chunk[(chunk >> shift) == first_bits] for chunk in _chunks(array)]
    return np.concatenate(parts) if parts else array


def _chunks(array: _Keys) -> Iterator[_Keys]:
    for start in range(0, len(array), _CHUNK):
        yield array[start : start + _CHUNK]


def _kth_highest_on_gpu(keys: Tensor, k: int) -> tuple[int, int, int]:
    threshold = keys.kthvalue(len(keys) - k + 1).values
    values = read_values([threshold, (keys > threshold).sum(), (keys == threshold).sum()])
    return values[0], values[1], values[2]


def read_values(scalars: Iterable[Tensor]) -> list[int]:
    """The values of integer or bool scalar tensors; waits only once for their device."""
    tensors = list(scalars)
    if not tensors:
        return []
    values: list[int] = torch.stack(tensors).tolist()
    return values
