"""Imports the zip of a run into a store, after a child process with limits has checked it."""

import contextlib
import secrets
import shutil
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path

from core.errors import UserError
from core.events import Event
from core.files import sync_folder, write_atomically
from core.runs.access.limits import check_limits
from core.runs.archive.identity import identity, is_same
from core.runs.archive.layout import CONFIG
from core.runs.archive.unpacking import unpack_run
from core.runs.run import Run, RunConfig, explain_unwritable, read_run, to_json
from core.runs.store import RunStore, clean_name, describe_recipe, run_id_of
from core.sandbox import Limits, run_limited

_SECONDS = 60.0
_SECONDS_PER_MEGABYTE = 0.1
_MEGABYTES = 1_000.0
_MEGABYTES_PER_MEGABYTE = 4.0
"""Files are unpacked in pieces. A packed file is decoded, and a checkpoint is read."""

_SPARE_BYTES = 2**26


@dataclass(frozen=True)
class ImportedRun:
    """A run that was imported, or was there already.

    is_new: whether it was imported now. notes: sentences for the person who imported it.
    """

    run: Run
    is_new: bool
    notes: tuple[str, ...]


def import_run(
    store: RunStore, source: Path, name: str = ""
) -> Generator[Event, None, ImportedRun]:
    """Import the run in the zip `source`, with its id and its parent.

    If there is another run with its id, it gets a new one, the same at every import. If it is there
    already, nothing changes. It belongs to the one who imports it; where nobody logs in, to the one
    in the zip. name: what errors call the zip. Raises UserError, in one sentence, for a zip that is
    damaged or hostile, for a full disk, and if no run may be made now; then nothing is left behind.
    """
    check_limits(store.access, store.root)
    name = name or source.name
    with explain_unwritable(store.root):
        store.root.mkdir(parents=True, exist_ok=True)
        _check_room(store.root, source)
        draft = store.root / f".new-{secrets.token_hex(4)}"
        draft.mkdir()
        try:
            arguments = {"source": str(source.absolute()), "name": name, "folder": str(draft)}
            manifest = yield from run_limited(unpack_run, arguments, _limits(source), name)
            return _place(store, draft, manifest["parent"])
        finally:
            shutil.rmtree(draft, ignore_errors=True)


def _limits(source: Path) -> Limits:
    megabytes = source.stat().st_size / 1e6
    return Limits(
        seconds=_SECONDS + _SECONDS_PER_MEGABYTE * megabytes,
        megabytes=_MEGABYTES + _MEGABYTES_PER_MEGABYTE * megabytes,
    )


def _check_room(root: Path, source: Path) -> None:
    """Raise UserError unless the zip can be read, and its files fit on the disk of the runs."""
    try:
        needed = source.stat().st_size + _SPARE_BYTES
    except OSError as error:
        raise UserError(f"{source} cannot be read ({error.strerror}).") from error
    if not source.is_file():
        raise UserError(f"{source} is not a file: choose the zip of a run.")
    free = shutil.disk_usage(root).free
    if needed > free:
        raise UserError(
            f"The disk is too full: {needed / 1e6:,.0f} MB are needed in {root}, and"
            f" {free / 1e6:,.0f} MB are free."
        )


def _place(store: RunStore, draft: Path, parent_identity: str | None) -> ImportedRun:
    """Give the unpacked run its id and its place in the store."""
    config = read_run(draft).config
    parent, parent_notes = _find_parent(store, config, parent_identity)
    run_id, id_notes = _free_id(store, config, draft)
    run_name = clean_name(config.name) or describe_recipe(config.recipe)
    owner = store.access.person or config.owner
    update = {"id": run_id, "parent": parent, "name": run_name, "owner": owner}
    changed = config.model_copy(update=update)
    there = _find(store, run_id)
    if there is not None:
        return _already_there(there, changed, draft)
    if changed != config:
        write_atomically(draft / CONFIG, to_json(changed))
    try:
        draft.rename(store.root / run_id)
    except OSError:
        there = _find(store, run_id)
        if there is None:
            raise
        return _already_there(there, changed, draft)  # another process was faster
    sync_folder(store.root)
    return ImportedRun(store.get(run_id), True, (*id_notes, *parent_notes))


def _free_id(store: RunStore, config: RunConfig, draft: Path) -> tuple[str, tuple[str, ...]]:
    """Return the id of the run: its own one, or a new one if another run has that."""
    if not (store.root / config.id).exists():
        return config.id, ()
    there = _find(store, config.id)
    if there is not None and is_same(there, config, draft):
        return config.id, ()
    new_id = _other_id(config.id, identity(draft))
    return new_id, (f"Another run has the id {config.id}, so this one got the id {new_id}.",)


def _already_there(there: Run, config: RunConfig, draft: Path) -> ImportedRun:
    if not is_same(there, config, draft):
        raise UserError(f"Another run has the id {there.id}: delete it, and import this one again.")
    return ImportedRun(there, False, (f"“{there.name}” ({there.id}) is here already.",))


def _find_parent(
    store: RunStore, config: RunConfig, parent_identity: str | None
) -> tuple[str | None, tuple[str, ...]]:
    """Return the id of the parent in this store, and what there is to say about it.

    Raises UserError for a run that only measures its parent, if that is not here.
    """
    parent = config.parent
    if parent is None:
        return None, ()
    if parent_identity is not None:
        for candidate in (parent, _other_id(parent, parent_identity)):
            if _has_identity(store, candidate, parent_identity):
                return candidate, ()
    if _find(store, parent) is None:
        if config.recipe.kind in ("answers", "latency"):
            raise UserError(
                f"“{config.name}” only measures the run {parent}, which is not here: import that"
                " run first."
            )
        return parent, (f"The run {parent}, which it was made from, is not here.",)
    if parent_identity is None:
        return parent, ()
    return parent, (f"The run {parent} here is another one than that which it was made from.",)


def _other_id(run_id: str, run_identity: str) -> str:
    """Return the id that an imported run gets if another run has its own one."""
    return run_id_of(f"{run_id} {run_identity}")


def _has_identity(store: RunStore, run_id: str, run_identity: str) -> bool:
    there = _find(store, run_id)
    try:
        return there is not None and identity(there.path) == run_identity
    except OSError:
        return False


def _find(store: RunStore, run_id: str) -> Run | None:
    with contextlib.suppress(UserError):
        return store.get(run_id)
    return None
