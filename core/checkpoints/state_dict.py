"""Takes the state dict out of a checkpoint's content, and makes plain float tensors of it."""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from core.checkpoints.formats import MAX_REUSE
from core.errors import UserError

MAX_TENSORS = 20_000
"""The most tensors in a state dict. The largest network of the registry has two thousand."""

_MAX_NAME = 200  # characters
_PLAIN_KEYS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_AVERAGED_KEYS = ("state_dict_ema", "model_ema", "ema_state_dict", "ema_model", "ema")
"""Keys of moving averages of the weights over the steps of training (EMA)."""

_WRAPPING_KEYS = (*_PLAIN_KEYS, *_AVERAGED_KEYS)
"""Keys under which training programs store the state dict in their checkpoint."""

_PREFIXES = (
    "module.",
    "_orig_mod.",
    "model.",
    "net.",
    "network.",
    "backbone.",
    *(f"{key}." for key in _AVERAGED_KEYS),
)
"""Prefixes that DataParallel, torch.compile, Lightning and others put in front of every name."""

_COUNTERS = ("n_averaged", "num_updates", "decay")
"""Single numbers that programs for averaged weights keep beside them."""


def find_tensors(content: object, file_size: int, name: str) -> dict[str, Tensor]:
    """Return the tensors of the state dict in a checkpoint's content, and leave out other entries.

    All tensors are checked and none is copied. file_size: size of the file in bytes. name: what
    errors call the file. Raises UserError if there is no state dict, or if it cannot be what it
    claims.
    """
    state_dict = _unwrap(content)
    if not isinstance(state_dict, Mapping):
        raise _no_state_dict(f"a {type(state_dict).__name__.lower()}", name)
    tensors: dict[str, Tensor] = {}
    for key, value in state_dict.items():
        if isinstance(key, str) and isinstance(value, Tensor) and not _is_counter(key, value):
            tensors[key] = value
    if not tensors:
        raise _no_state_dict("no tensors", name)
    _check_tensors(tensors, file_size, name)
    return tensors


def without_averages(tensors: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], str]:
    """Leave out averaged weights that stand beside the plain ones, and return their prefix.

    Lightning puts both into one state dict. The prefix is "" if there are only weights of one kind.
    """
    averaged = [key for key in tensors if key.split(".")[0] in _AVERAGED_KEYS]
    plain = {key: tensor for key, tensor in tensors.items() if key not in set(averaged)}
    if not averaged or not plain:
        return dict(tensors), ""
    return plain, averaged[0].split(".")[0]


def averaged_entry(content: object) -> str:
    """Return the key of averaged weights beside the plain ones in a checkpoint, "" if none."""
    if not isinstance(content, Mapping):
        return ""
    if not any(isinstance(content.get(key), Mapping) for key in _PLAIN_KEYS):
        return ""
    return next((key for key in _AVERAGED_KEYS if isinstance(content.get(key), Mapping)), "")


def common_prefix(names: Iterable[str]) -> str:
    """Return what training programs have put in front of every name, "" if nothing."""
    remaining = list(names)
    prefix = ""
    while shared := _shared_word(remaining):
        prefix += shared
        remaining = [name.removeprefix(shared) for name in remaining]
    return prefix


def plain_copy(key: str, tensor: Tensor, name: str) -> Tensor:
    """Copy a tensor out of the file's memory; floating ones become float32.

    Raises UserError if a value is infinite or NaN.
    """
    copy = tensor.detach().clone(memory_format=torch.contiguous_format)
    if not copy.is_floating_point():
        return copy
    copy = copy.float()
    if not copy.isfinite().all():
        raise UserError(f"{name} cannot be imported: {key} holds numbers that are not finite.")
    return copy


def _unwrap(content: object) -> object:
    """Return the state dict inside a training's checkpoint.

    The number of steps is limited, because a checkpoint may contain itself.
    """
    for _ in _WRAPPING_KEYS:
        content = _inner_dict(content)
    return content


def _inner_dict(content: object) -> object:
    """Return the dict under the first key that wraps one, or the content itself."""
    if isinstance(content, Mapping):
        for key in _WRAPPING_KEYS:
            inner = content.get(key)
            if isinstance(inner, Mapping) and inner:
                return inner
    return content


def _is_counter(key: str, tensor: Tensor) -> bool:
    return tensor.numel() == 1 and key.split(".")[-1] in _COUNTERS


def _shared_word(names: list[str]) -> str:
    """Return the known prefix that all names begin with, "" if there is none."""
    for word in _PREFIXES:
        if names and all(name.startswith(word) for name in names):
            return word
    return ""


def _no_state_dict(content: str, name: str) -> UserError:
    return UserError(
        f"{name} holds {content}, where a state dict is needed: save the network's state_dict()."
    )


def _check_tensors(tensors: Mapping[str, Tensor], file_size: int, name: str) -> None:
    """Check that these are plain tensors and that the file can hold them. Raises UserError."""
    if len(tensors) > MAX_TENSORS:
        raise UserError(f"{name} holds {len(tensors):,} tensors, and {MAX_TENSORS:,} are the most.")
    for key, tensor in tensors.items():
        if len(key) > _MAX_NAME or not key.isprintable():
            raise UserError(f"{name} has a tensor whose name is no name: {key[:30]!r} ...")
        _check_tensor(key, tensor, name)
    claimed_bytes = sum(_claimed_bytes(tensor) for tensor in tensors.values())
    if claimed_bytes > MAX_REUSE * file_size:
        megabytes = file_size / 1e6
        raise UserError(f"{name} claims to hold more numbers than its {megabytes:,.1f} MB can.")


def _check_tensor(key: str, tensor: Tensor, name: str) -> None:
    unusual = _unusual_kind(tensor)
    if unusual:
        raise UserError(
            f"{name} cannot be imported: {key} is {unusual}, and only plain float networks can be."
        )
    if _claimed_bytes(tensor) > tensor.untyped_storage().nbytes():
        raise UserError(
            f"{name} claims that {key} has {tensor.numel():,} numbers, but does not hold them."
        )


def _unusual_kind(tensor: Tensor) -> str:
    """Say in which way a tensor is not a plain one, "" if it is."""
    kinds = {
        "quantized": tensor.is_quantized,
        "complex": tensor.is_complex(),
        "nested": tensor.is_nested,
        "sparse": tensor.layout != torch.strided,
        "without values": tensor.is_meta,
    }
    return next((kind for kind, applies in kinds.items() if applies), "")


def _claimed_bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.itemsize
