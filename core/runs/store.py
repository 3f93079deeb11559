"""The store of all runs: make, find, read, rename and delete their folders.

Browser, server and worker share nothing but these folders, which outlive them all.

    runs/<id>/config.json  status.json  events.jsonl  lock  log.txt  model.safetensors
              initial.safetensors  masks.safetensors  checkpoint.pt  epochs/<n>.safetensors
              best.safetensors  packed.secateur  source  sensitivity-<settings>.json
              answers.safetensors

`core.runs.run` describes what a folder contains.
"""

import contextlib
import hashlib
import os
import secrets
import shutil
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from filelock import FileLock
from pydantic import ValidationError

from core.config import (
    AffineRecipe,
    AnswersRecipe,
    BudgetRecipe,
    ImportRecipe,
    Int8Recipe,
    KMeansRecipe,
    LatencyRecipe,
    PruneRecipe,
    Recipe,
    TrainRecipe,
)
from core.errors import UserError
from core.files import Content, sync_folder, write_atomically
from core.runs.access.access import EVERYTHING, Access
from core.runs.access.limits import check_limits
from core.runs.event_lines import Events, epoch_ends, read_events
from core.runs.listing import RUN_ID, list_runs
from core.runs.lock import RunLock
from core.runs.run import (
    Run,
    RunConfig,
    Status,
    explain_unwritable,
    read_run,
    to_json,
    unwritable,
)
from core.runs.tags import change_tags, check_tags
from core.runs.trash import delete_all, delete_one, move_to_trash, tidy_runs, total_bytes

# Inside RunStore the name `list` is its method, so these types have names of their own.
_Runs = list[Run]
_Ids = list[str]
_Events = Events

_WORK = {"answers": "tested", "latency": "measured", "prune": "pruned"}
"""What a run does with its parent's network, by the kind of its recipe."""

_EDIT_SECONDS = 30
"""Changing a config.json takes a moment. After this long another process hangs."""


class RunStore:
    """All runs in one folder. The folder is made together with the first run.

    access: what the one who acts may do. Whatever changes a run checks it, and the runs that are
    read carry it to `core.runs.launch`.
    """

    def __init__(self, root: str | Path, access: Access = EVERYTHING) -> None:
        self.root = Path(root)
        self.access = access

    # -- make and find --

    def create(
        self,
        recipe: Recipe,
        name: str = "",
        parent: str | None = None,
        token: str | None = None,
        files: Mapping[str, Content] | None = None,
        tags: Iterable[str] = (),
    ) -> Run:
        """Make a run, or return the run that was made with the same `token`.

        parent: id of the run that the recipe is applied to. token: makes a double click create one
        run. files: content of further files that the recipe reads, by their name in the run's
        folder. tags: see `core.runs.tags`.

        The id is derived from the token, and the folder appears by one rename. So two processes
        that create with one token at the same time agree without talking to each other. Raises
        UserError for a parent that is missing, not wanted, or without a result, for words that
        cannot be tags, and if no run may be made now.
        """
        seed = token or secrets.token_hex(16)
        run_id = run_id_of(seed)
        if token and (self.root / run_id).exists():
            return self.get(run_id)
        check_limits(self.access, self.root)
        config = RunConfig(
            id=run_id,
            name=clean_name(name) or describe_recipe(recipe),
            created=time.time(),
            parent=parent,
            recipe=recipe,
            tags=check_tags(tags),
            owner=self.access.person,
            **self._subject(recipe, parent),
        )
        with explain_unwritable(self.root):
            self._write_folder(config, files or {})
        return self.get(run_id)

    def _subject(self, recipe: Recipe, parent_id: str | None) -> dict[str, Any]:
        """Take model, dataset and density from the recipe, or else from the parent."""
        if isinstance(recipe, TrainRecipe | ImportRecipe):
            if parent_id is not None:
                raise UserError(f"“{describe_recipe(recipe)}” takes no parent.")
            density = recipe.density if isinstance(recipe, TrainRecipe) else 1.0
            return {"model": recipe.model, "dataset": recipe.dataset, "density": density}
        if parent_id is None:
            raise UserError(
                f"“{describe_recipe(recipe)}” needs a parent: the run whose network is"
                f" {_WORK.get(recipe.kind, 'quantized')}."
            )
        parent = self.get(parent_id)
        is_int8 = parent.state == "finished" and isinstance(parent.recipe, Int8Recipe)
        if is_int8 and not isinstance(recipe, LatencyRecipe):
            raise UserError(
                f"“{parent.name}” is an ONNX file in 8-bit integers, without weights in float to"
                " start from: start from the run that it was made from."
            )
        if not parent.has_model and not is_int8:
            raise UserError(f"“{parent.name}” has no result to start from: it is {parent.state}.")
        density = recipe.density if isinstance(recipe, PruneRecipe) else parent.density
        return {"model": parent.model, "dataset": parent.dataset, "density": density}

    def _write_folder(self, config: RunConfig, files: Mapping[str, Content]) -> None:
        """Write the folder of a new run, unless another process has just written it."""
        draft = self.root / f".new-{secrets.token_hex(4)}"
        draft.mkdir(parents=True)
        try:
            for file, content in files.items():
                write_atomically(draft / file, content)
            write_atomically(draft / "config.json", to_json(config))
            write_atomically(draft / "status.json", to_json(Status(updated_at=time.time())))
            draft.rename(self.root / config.id)
            sync_folder(self.root)
        except OSError:
            shutil.rmtree(draft, ignore_errors=True)
            if not (self.root / config.id / "config.json").exists():
                raise

    def get(self, run_id: str) -> Run:
        """Read the run as it is now. Raises UserError if it is not there or cannot be read."""
        path = self._path(run_id)
        try:
            return replace(read_run(path), access=self.access)
        except FileNotFoundError:
            raise UserError(
                f"There is no run {run_id!r} in {self.root}; it may be in the trash."
            ) from None
        except (OSError, ValueError) as error:
            raise UserError(
                f"The run {run_id} cannot be read: {path / 'config.json'} is damaged"
                f" ({_first_reason(error)})."
            ) from None

    def list(self, helpers: bool = False) -> _Runs:
        """Read all runs that can be read, newest first.

        helpers: also those that only measure their parent and never have a model.
        """
        runs, _ = self.scan()
        return [run for run in runs if helpers or not run.is_helper]

    def scan(self) -> tuple[_Runs, _Ids]:
        """Read all runs, newest first, and list the ids of the folders that cannot be read.

        Those that only measure their parent are among them.
        """
        runs, damaged_ids = list_runs(self.root)
        if self.access == EVERYTHING:  # as the runs have it
            return runs, damaged_ids
        return [replace(run, access=self.access) for run in runs], damaged_ids

    def lineage(self, run_id: str) -> _Runs:
        """Read the run's ancestors, the first one first, and the run itself.

        Ancestors before one that is deleted or damaged are left out.
        """
        chain = [self.get(run_id)]
        with contextlib.suppress(UserError):
            while len(chain) < 100:
                parent_id = chain[0].config.parent
                if not parent_id:
                    break
                chain.insert(0, self.get(parent_id))
        return chain

    # -- read what a worker wrote --

    def events(self, run_id: str) -> _Events:
        """Read all events in order. A line that is cut short or damaged is skipped."""
        return read_events(self._path(run_id) / "events.jsonl")

    def epochs(self, run_id: str) -> _Events:
        """Read the EpochEnd events in order of their epoch.

        Of an epoch that was trained again after a kill only the last event is returned.
        """
        return epoch_ends(self.events(run_id))

    def log(self, run_id: str, characters: int = 100_000) -> str:
        """Read the end of the log, or nothing if it cannot be read."""
        try:
            with (self._path(run_id) / "log.txt").open("rb") as file:
                size = file.seek(0, os.SEEK_END)
                file.seek(max(0, size - characters))
                return file.read().decode("utf-8", errors="replace")
        except OSError:
            return ""

    # -- change --

    def rename(self, run_id: str, name: str) -> Run:
        """Give the run another name. Raises UserError for an empty one."""
        name = clean_name(name)
        if not name:
            raise UserError("A run needs a name of at least one character.")
        return self._change_config(run_id, lambda config: config.model_copy(update={"name": name}))

    def change_tags(self, run_id: str, add: Iterable[str] = (), remove: Iterable[str] = ()) -> Run:
        """Give the run tags, and take others away. Those that it has already, or not, do no harm.

        Raises UserError for words that cannot be tags, and for too many of them.
        """
        added = check_tags(add)
        removed = tuple(remove)

        def change(config: RunConfig) -> RunConfig:
            return config.model_copy(update={"tags": change_tags(config.tags, added, removed)})

        return self._change_config(run_id, change)

    def _change_config(self, run_id: str, change: Callable[[RunConfig], RunConfig]) -> Run:
        """Change what config.json says of a run. Of two changes at the same time none is lost."""
        run = self.get(run_id)  # says if it is not there
        self.access.check_change(run)
        lock = FileLock(self.root / ".edit.lock", timeout=_EDIT_SECONDS)
        with explain_unwritable(self.root), lock:
            run = self.get(run_id)
            write_atomically(run.path / "config.json", to_json(change(run.config)))
        return self.get(run_id)

    def delete(self, run_id: str) -> None:
        """Move the run to the trash, and with it the runs that only measured it.

        Raises UserError while a worker is at it, or about to be, and for a run of somebody else.

        The run's lock decides between a delete and a start at the same time. Whoever comes second
        finds the run started, or gone.
        """
        deleted = self.get(run_id)
        self.access.check_change(deleted)
        with RunLock(deleted.path) as lock:
            # Whatever the status says, no worker is at a run whose lock could be taken.
            if not self._take(lock, run_id) or self.get(run_id).status.starting:
                run = self.get(run_id)
                raise UserError(f"“{run.name}” is {run.state}: cancel it before you delete it.")
            if sys.platform == "win32":
                lock.release()  # Windows moves no folder with an open file
            with explain_unwritable(self.root):
                move_to_trash(deleted.path, self._trash)
        if not deleted.is_helper:
            self._delete_helpers()

    def _delete_helpers(self) -> None:
        """Delete the runs that measured a deleted one, which no page would show any more.

        One that is active stays until `tidy`.
        """
        everybodys = RunStore(self.root)
        for run in everybodys.list(helpers=True):
            if run.is_helper and not (self.root / str(run.config.parent)).exists():
                with contextlib.suppress(UserError):  # it is active
                    everybodys.delete(run.id)

    def _take(self, lock: RunLock, run_id: str) -> bool:
        try:
            return lock.take(timeout=1)
        except OSError as error:
            self.get(run_id)  # says if it is not there
            raise unwritable(self.root, error) from error

    def trash(self) -> _Runs:
        """Read the deleted runs that can still be restored, newest first.

        Those that only measured one are restored with it.
        """
        return RunStore(self._trash, self.access).list()

    def trash_bytes(self) -> int:
        """Return the size of the deleted runs in bytes."""
        return total_bytes(self._trash)

    def restore(self, run_id: str) -> Run:
        """Bring a run back from the trash, and with it the runs that only measured it.

        Raises UserError if that is not possible, and for a run of somebody else.
        """
        target = self._path(run_id)
        self._check_deleted(run_id)
        try:
            (self._trash / run_id).rename(target)
        except OSError as error:
            raise UserError(f"The run {run_id} cannot be restored: {error.strerror}.") from None
        for run in RunStore(self._trash).list(helpers=True):
            if run.is_helper and run.config.parent == run_id:
                with contextlib.suppress(OSError):  # one with the same id was made since
                    run.path.rename(self._path(run.id))
        return self.get(run_id)

    def _check_deleted(self, run_id: str) -> None:
        """Raise UserError if the run in the trash is somebody else's."""
        self.access.check_write()
        with contextlib.suppress(OSError, ValueError):  # it is gone, or damaged
            self.access.check_change(read_run(self._trash / run_id))

    def empty_trash(self) -> int:
        """Delete the runs in the trash for good, and return the number of bytes that this freed.

        Those of other people stay, unless an admin does it.
        """
        self.access.check_write()
        before = self.trash_bytes()
        if self.access.is_admin:
            delete_all(self._trash)
        else:
            for run in self.trash():
                if self.access.may_change(run):
                    self.delete_for_good(run.id)
        return before - self.trash_bytes()

    def trash_with_helpers(self) -> dict[str, _Runs]:
        """Read each deleted run and those that only measured it, by the id of the run."""
        groups: dict[str, _Runs] = {run.id: [run] for run in self.trash()}
        for run in RunStore(self._trash).list(helpers=True):
            if run.is_helper and str(run.config.parent) in groups:
                groups[str(run.config.parent)].append(run)
        return groups

    def delete_for_good(self, run_id: str) -> bool:
        """Delete one run that is in the trash, and return whether it was there.

        Those that only measured it go with it. Raises UserError for a run of somebody else.
        """
        self._check_deleted(run_id)
        group = self.trash_with_helpers().get(run_id, [])
        deleted = [delete_one(self._trash, run.id) for run in group]
        return any(deleted)

    def tidy(self) -> None:
        """Delete what nobody needs: old deleted runs, and drafts that a kill has left behind.

        Runs that only measured a deleted one go into the trash. Does nothing if this process did it
        within the last hour, or if nothing may be changed.
        """
        if self.access.rules.read_only:
            return
        if tidy_runs(self.root, self._trash):
            self._delete_helpers()

    # -- paths --

    @property
    def _trash(self) -> Path:
        return self.root / ".trash"

    def _path(self, run_id: str) -> Path:
        """Return the folder of a run. Ids come from URLs, so anything but an id is refused."""
        if not isinstance(run_id, str) or not RUN_ID.fullmatch(run_id):
            text = str(run_id)[:40]
            raise UserError(
                f"{text!r} is not a run's id: it takes ten digits or letters from a to f."
            )
        return self.root / run_id


def describe_recipe(recipe: Recipe) -> str:
    """Return the name of a run that was given none, such as "VGG16 · CIFAR10 · 5% kept"."""
    match recipe:
        case TrainRecipe():
            return f"{recipe.model} · {recipe.dataset} · {_describe_pruning(recipe)}"
        case ImportRecipe():
            return f"{recipe.model} · {recipe.dataset} · {recipe.file}"
        case KMeansRecipe():
            tuned = ", tuned" if recipe.epochs else ""
            return f"{recipe.clusters} clusters{tuned}"
        case PruneRecipe():
            tuned = ", fine-tuned" if recipe.epochs else ""
            return f"{_percent(recipe.density)} kept {recipe.method}{tuned}"
        case AffineRecipe():
            return f"{recipe.bits} bits"
        case BudgetRecipe():
            return f"budget: {_describe_limit(recipe)}"
        case Int8Recipe():
            return f"8-bit integers{_describe_float_layers(recipe)}"
        case AnswersRecipe():
            return "answers"
        case LatencyRecipe():
            return "speed"


def _describe_limit(recipe: BudgetRecipe) -> str:
    if recipe.layers:
        return f"a choice for {len(recipe.layers)} layers"
    if recipe.bytes is not None:
        return f"at most {recipe.bytes:,} bytes"
    if recipe.smaller is not None:
        return f"{recipe.smaller:g}x smaller"
    if recipe.faster is not None:
        return f"{recipe.faster:g}x faster"
    return f"lose at most {recipe.lose:g} points"


def _describe_float_layers(recipe: Int8Recipe) -> str:
    layers = {"first": recipe.float_first, "last": recipe.float_last}
    names = " and ".join(name for name, is_float in layers.items() if is_float)
    return f", {names} layer in float" if names else ""


def _describe_pruning(recipe: TrainRecipe) -> str:
    if recipe.prune is None:
        return "dense"
    method = "" if recipe.prune.method == "snip" else f" {recipe.prune.method}"
    pattern = "" if recipe.prune.pattern == "free" else f" {recipe.prune.pattern}"
    return f"{_percent(recipe.density)} kept{pattern}{method}"


def _percent(density: float) -> str:
    """Return a density such as "5%" or "0.25%"."""
    return f"{density:.3%}".rstrip("0%").rstrip(".") + "%"


def run_id_of(token: str) -> str:
    """Return the id of the run that is created with this token."""
    return hashlib.sha256(token.encode()).hexdigest()[:10]


def clean_name(name: str) -> str:
    """Return one line of printable characters, at most 120 of them."""
    printable = "".join(c for c in name if c.isprintable() or c.isspace())
    return " ".join(printable.split())[:120]


def _first_reason(error: Exception) -> str:
    """Return the error as one phrase. Pydantic's own text has several lines."""
    if not isinstance(error, ValidationError):
        return str(error)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"])
    return f"{place}: {first['msg']}" if place else first["msg"]
