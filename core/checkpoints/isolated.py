"""Reads a checkpoint of unknown origin in a child process with limits."""

import tempfile
from collections.abc import Generator
from pathlib import Path
from typing import Any

from core.checkpoints.formats import as_file
from core.checkpoints.reader import Checkpoint, read_checkpoint
from core.errors import UserError
from core.events import Event, Progress
from core.models.card import ModelCard
from core.sandbox import Limits, run_limited

_STATE = "state.safetensors"
_SECONDS = 60.0
_SECONDS_PER_MEGABYTE = 0.1
_MEGABYTES = 1_000.0
_MEGABYTES_PER_MEGABYTE = 6.0
"""The file itself, its tensors, their copies in float32, and the bytes that are written."""


def read_isolated(source: bytes | Path, name: str = "") -> Generator[Event, None, Checkpoint]:
    """Read the weights in a file as `read_checkpoint` does, in a child process with limits.

    The child checks the file and writes its tensors as a plain safetensors file, which is all that
    this process reads. `packed` is None, also of a packed file. Raises UserError, in one sentence,
    as `read_checkpoint` does, and if the child crashes or exceeds a limit.
    """
    if not name:
        name = source.name if isinstance(source, Path) else "The file"
    with (
        as_file(source) as path,
        tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder,
    ):
        arguments = {"source": str(path.absolute()), "name": name, "folder": folder}
        facts = yield from run_limited(write_plain, arguments, _limits(path), name)
        return _read_plain(Path(folder), name, facts)


def write_plain(source: str, name: str, folder: str) -> Generator[Event, None, dict[str, Any]]:
    """Write the tensors of the file `source` into `folder`, and return all else about them.

    Runs in the child. The tensors are named by their numbers, because a file may give them names
    that safetensors refuses.
    """
    yield Progress("Reading the file", 0, 0)
    checkpoint = read_checkpoint(Path(source), name)
    from safetensors.torch import save_file

    tensors = {str(number): tensor for number, tensor in enumerate(checkpoint.state.values())}
    save_file(tensors, Path(folder) / _STATE)
    return {
        "names": list(checkpoint.state),
        "card": checkpoint.card and checkpoint.card.model_dump(mode="json"),
        "notes": list(checkpoint.notes),
    }


def _limits(path: Path) -> Limits:
    try:
        megabytes = path.stat().st_size / 1e6
    except OSError:  # the child says what is wrong
        megabytes = 0.0
    return Limits(
        seconds=_SECONDS + _SECONDS_PER_MEGABYTE * megabytes,
        megabytes=_MEGABYTES + _MEGABYTES_PER_MEGABYTE * megabytes,
    )


def _read_plain(folder: Path, name: str, facts: dict[str, Any]) -> Checkpoint:
    """Return the checkpoint that `write_plain` wrote."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        tensors = load_file(folder / _STATE)
        state = {key: tensors[str(number)] for number, key in enumerate(facts["names"])}
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{name} could not be read: is the disk full?") from error
    return Checkpoint(
        name,
        state,
        card=ModelCard.model_validate(facts["card"]) if facts["card"] else None,
        notes=tuple(facts["notes"]),
    )
