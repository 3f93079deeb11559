"""Reading other people's checkpoints: a state dict of plain float tensors, whatever it was wrapped in.

Nothing is unpickled but by `torch.load(weights_only=True)`, after `core.models.pickles` has looked through it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import ValidationError
from torch import Tensor

from core.errors import UserError
from core.models import formats
from core.models.saved import Facts

MAX_BYTES = 4 * 2**30  # of a file
MAX_TENSORS = 20_000  # the largest network here has two thousand

_NESTS = ("state_dict", "model_state_dict", "model", "net", "network", "weights")
_PREFIXES = ("module.", "_orig_mod.", "model.")  # of DataParallel, torch.compile and Lightning


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """What a file holds; `name` is what errors call it.

    state: its tensors by name, on the CPU and contiguous, floating ones in float32, in the file's order. ordered:
    whether that is the order of the network's layers; a safetensors file is sorted by name, where it is a guess.
    facts: what the header says if the file is Secateur's own. notes: what was changed on the way, a sentence each.
    """

    name: str
    state: dict[str, Tensor]
    ordered: bool = True
    facts: Facts | None = None
    notes: tuple[str, ...] = ()


def read(source: bytes | Path, name: str = "") -> Checkpoint:
    """The checkpoint in a file, or in a file's bytes.

    Understood are safetensors and what torch.save wrote, then and now; state dicts within others; prefixes of all
    names. Entries that are no tensors are left out. Raises UserError, in one sentence, for all that is damaged,
    hostile, or not the weights of a float network.
    """
    name = name or ("The file" if isinstance(source, bytes) else source.name)
    with formats.as_file(source) as path:
        size = _size(path, name)
        content = _innermost(formats.content(path, name))
        with formats.refusing(name):
            found = _tensors(content, size, name)
            prefix = _prefix(found)
            state = {key[len(prefix):]: _plain(key, tensor, name) for key, tensor in found.items()}
            return Checkpoint(name, state, not formats.is_safetensors(path), _facts(path, name), _notes(found, prefix))


def _size(path: Path, name: str) -> int:
    with formats.refusing(name):
        if not path.exists():
            raise UserError(f"There is no file {path}.")
        if not path.is_file():  # a folder, a device, a pipe
            raise UserError(f"{path} is not a file.")
        size = path.stat().st_size
    if size > MAX_BYTES:
        raise UserError(f"{name} has {size / 1e9:.1f} GB, and {MAX_BYTES / 1e9:.1f} GB are the most.")
    if not size:
        raise UserError(f"{name} is empty.")
    return size


def _facts(path: Path, name: str) -> Facts | None:
    try:
        return Facts.model_validate_json(formats.metadata(path, name)["secateur"])
    except (LookupError, TypeError, ValidationError):
        return None


def _innermost(content: object) -> object:
    """The state dict within a training's checkpoint; it may hold itself, so the search has an end."""
    for _ in _NESTS:
        inner = [content[key] for key in _NESTS if isinstance(content, Mapping)
                 and isinstance(content.get(key), Mapping) and content[key]]
        content = inner[0] if inner else content
    return content


def _tensors(content: object, size: int, name: str) -> dict[str, Tensor]:
    """The tensors of a state dict. None of them is copied before all are known to be what they claim."""
    found = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, Tensor)} \
        if isinstance(content, Mapping) else {}
    if not found:
        what = "no tensors" if isinstance(content, Mapping) else f"a {type(content).__name__.lower()}"
        raise UserError(f"{name} holds {what}, where a state dict is needed: save the network's state_dict().")
    if len(found) > MAX_TENSORS:
        raise UserError(f"{name} holds {len(found):,} tensors, and {MAX_TENSORS:,} are the most.")
    for key, tensor in found.items():
        if len(key) > 200 or not key.isprintable():
            raise UserError(f"{name} has a tensor whose name is no name: {key[:30]!r} ...")
        _refuse_odd(key, tensor, name)
    if sum(tensor.numel() * tensor.itemsize for tensor in found.values()) > formats.TIES * size:
        raise UserError(f"{name} claims to hold more numbers than its {size / 1e6:,.1f} MB can.")
    return found


def _refuse_odd(key: str, tensor: Tensor, name: str) -> None:
    kinds = {"quantized": tensor.is_quantized, "complex": tensor.is_complex(), "nested": tensor.is_nested,
             "sparse": tensor.layout != torch.strided, "without numbers": tensor.is_meta}
    if odd := next((kind for kind, applies in kinds.items() if applies), None):
        raise UserError(f"{name} cannot be imported: {key} is {odd}, and only plain float networks can be.")
    if tensor.numel() * tensor.itemsize > tensor.untyped_storage().nbytes():
        raise UserError(f"{name} claims that {key} has {tensor.numel():,} numbers, which it does not hold.")


def _prefix(names: Mapping[str, Tensor]) -> str:
    """What stands before every name without being part of it."""
    prefix = ""
    while more := next((word for word in _PREFIXES if all(name.startswith(prefix + word) for name in names)), ""):
        prefix += more
    return prefix


def _plain(key: str, tensor: Tensor, name: str) -> Tensor:
    """A copy that shares no memory with the file."""
    tensor = tensor.detach().clone(memory_format=torch.contiguous_format)
    if not tensor.is_floating_point():
        return tensor
    tensor = tensor.float()
    if not tensor.isfinite().all():
        raise UserError(f"{name} cannot be imported: {key} holds numbers that are not finite.")
    return tensor


def _notes(found: Mapping[str, Tensor], prefix: str) -> tuple[str, ...]:
    kinds = {str(tensor.dtype).removeprefix("torch.") for tensor in found.values() if tensor.is_floating_point()}
    return ((f"All names began with {prefix}, which is left out.",) if prefix else ()) + (
        (f"Numbers in {' and '.join(sorted(kinds - {'float32'}))} became float32.",) if kinds - {"float32"} else ())
