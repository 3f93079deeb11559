"""Reads a checkpoint or a packed file from anywhere, as a state dict of plain float tensors."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError
from torch import Tensor

from core.checkpoints.formats import (
    as_file,
    damage_as_user_error,
    read_content,
    read_metadata,
)
from core.checkpoints.masks import apply_stored_masks
from core.checkpoints.matching import Matching, count_classes, match_tensors
from core.checkpoints.recognition import suggest_networks
from core.checkpoints.state_dict import (
    averaged_entry,
    common_prefix,
    find_tensors,
    plain_copy,
    without_averages,
)
from core.compress.codec import Packed, unpack
from core.config import ImportRecipe
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import CARD_KEY

MAX_FILE_BYTES = 4 * 2**30
"""The largest file that is read."""


@dataclass(frozen=True, eq=False)
class Checkpoint:
    """The weights in a file.

    name: what errors call the file. state: the tensors by name, on the CPU and contiguous, floating
    ones in float32, in the file's order. card: the card in the file, if Secateur wrote it. notes:
    one sentence for each change to names or tensors. packed: the codebooks and other tensors before
    they were dequantized, if it is a packed file.
    """

    name: str
    state: dict[str, Tensor]
    card: ModelCard | None = None
    notes: tuple[str, ...] = ()
    packed: Packed | None = None


def read_checkpoint(source: bytes | Path, name: str = "") -> Checkpoint:
    """Read the weights in a file, or in a file's bytes; errors call it `name`.

    Reads safetensors, both formats of torch.save, and Secateur's packed files. The state dict may
    be inside a training's checkpoint, and all names may have a prefix. Entries that are no tensors
    are left out. Raises UserError, in one sentence, for a file that is damaged, hostile, or without
    the weights of a float network.
    """
    if not name:
        name = source.name if isinstance(source, Path) else "The file"
    with as_file(source) as path:
        file_size = _checked_size(path, name)
        metadata = read_metadata(path, name)
        if metadata.get("format", "").startswith("secateur-packed"):
            return _read_packed(path, name)
        content = read_content(path, name)
        with damage_as_user_error(name):
            tensors, averages = without_averages(find_tensors(content, file_size, name))
            averages = averages or averaged_entry(content)
            prefix = common_prefix(tensors)
            state = {
                key.removeprefix(prefix): plain_copy(key, tensor, name)
                for key, tensor in tensors.items()
            }
            state, masks = apply_stored_masks(state)
            return Checkpoint(
                name,
                state,
                card=_card_in(metadata),
                notes=_notes(tensors.values(), prefix, averages, masks),
            )


def match_recipe(checkpoint: Checkpoint, recipe: ImportRecipe, num_classes: int) -> Matching:
    """Match the checkpoint's tensors with those of the recipe's network for `num_classes` classes.

    Raises UserError, in one sentence, if the checkpoint is of another network or of another number
    of classes.
    """
    counted = count_classes(checkpoint.state, recipe.model, recipe.by_order)
    try:
        matching = match_tensors(
            checkpoint.state, recipe.model, counted or num_classes, recipe.by_order, recipe.file
        )
    except UserError as error:
        suggestion = suggest_networks(checkpoint.state, recipe.model)
        raise UserError(f"{error} {suggestion}".rstrip()) from error
    if counted is not None and counted != num_classes:
        raise UserError(
            f"{recipe.file} is a network for {counted:,} classes, and {recipe.dataset} has"
            f" {num_classes:,}: choose the data set that it was trained on."
        )
    return matching


def _checked_size(path: Path, name: str) -> int:
    """Return the size of a file in bytes. Raises UserError if there is none that can be read."""
    with damage_as_user_error(name):
        if not path.exists():
            raise UserError(f"There is no file {path}.")
        if not path.is_file():  # a folder, a device or a pipe
            raise UserError(f"{path} is not a file.")
        size = path.stat().st_size
    if size > MAX_FILE_BYTES:
        raise UserError(
            f"{name} has {size / 1e9:.1f} GB, and {MAX_FILE_BYTES / 1e9:.1f} GB are the most."
        )
    if size == 0:
        raise UserError(f"{name} is empty.")
    return size


def _read_packed(path: Path, name: str) -> Checkpoint:
    with damage_as_user_error(name):
        data = path.read_bytes()
    packed = unpack(data, name)
    return Checkpoint(name, packed.state(), card=packed.card, packed=packed)


def _card_in(metadata: dict[str, str]) -> ModelCard | None:
    """Return the card in a file's metadata, None if there is no valid one."""
    try:
        return ModelCard.model_validate_json(metadata[CARD_KEY])
    except (KeyError, ValidationError):
        return None


def _notes(tensors: Iterable[Tensor], prefix: str, averages: str, masks: int) -> tuple[str, ...]:
    notes = []
    if averages:
        notes.append(
            f"The file also holds averaged weights ({averages}), which are left out: save them"
            " alone to import them."
        )
    if masks:
        notes.append(f"{masks:,} pruning masks were multiplied into their tensors.")
    if prefix:
        notes.append(f"All names began with {prefix}, which is left out.")
    dtypes = {tensor.dtype for tensor in tensors if tensor.is_floating_point()}
    converted = {str(dtype).removeprefix("torch.") for dtype in dtypes} - {"float32"}
    if converted:
        notes.append(f"Numbers in {' and '.join(sorted(converted))} became float32.")
    return tuple(notes)
