"""The run directory: the only thing that browser, server and worker share, and the one that outlives them all.

    runs/<id>/config.json  status.json  events.jsonl  lock  log.txt  model.safetensors  masks.safetensors  checkpoint.pt

Whoever works on a run holds its `lock`. Alive means that the lock is held: no process id is trusted, so a run that
says "running" under a free lock was interrupted, whatever killed its worker.
"""

import hashlib
import json
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from core.config import Recipe
from core.errors import UserError
from core.files import sync_folder, write_atomically

try:
    import fcntl
except ImportError:
    fcntl = None

ACTIVE = ("starting", "queued", "running")
ENDED = ("finished", "failed", "cancelled", "interrupted")
STARTING_SECONDS = 30  # a worker takes its lock within a second of its start; after this long it never will
_ID = re.compile(r"[0-9a-f]{10}")

State = Literal["created", "starting", "queued", "running", "finished", "failed", "cancelled", "interrupted"]


class RunConfig(BaseModel):
    """What was asked for. Only the name changes after a run was created."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    created: float
    parent: str | None = None
    recipe: Recipe


class Status(BaseModel):
    """Where a run is; written by whoever holds the run's lock. Times are seconds since the epoch."""

    model_config = ConfigDict(frozen=True)

    state: State = "created"
    message: str = ""
    device: str = ""
    stage: str = ""
    done: int = 0
    total: int = 0
    unit: str = ""
    loss: float | None = None
    epoch: int = 0
    epochs: int = 0
    test_accuracy: float | None = None
    best_accuracy: float | None = None
    accuracies: list[float] = Field(default_factory=list)
    seconds_left: float | None = None
    queued_at: float = 0.0
    started_at: float = 0.0
    updated_at: float = 0.0
    summary: dict[str, Any] = Field(default_factory=dict)

    @property
    def starting(self) -> bool:
        """A worker was started so lately that it may not have taken its lock yet."""
        return self.state == "starting" and time.time() - self.updated_at < STARTING_SECONDS

    @property
    def progress(self) -> float:
        """Share of the training that is done, in [0, 1]."""
        if not self.epochs:
            return 0.0
        within = self.done / self.total if self.total and self.unit == "batches" else 0.0
        return min(1.0, (self.epoch + within) / self.epochs)


@dataclass(frozen=True)
class Run:
    """A run as it was on disk a moment ago; `alive` says whether a worker held its lock then."""

    path: Path
    config: RunConfig
    status: Status
    alive: bool

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def recipe(self) -> Recipe:
        return self.config.recipe

    @property
    def state(self) -> State:
        """The status on file, corrected by the lock: what says that it works but holds no lock was interrupted."""
        said = self.status.state
        if self.alive:
            return said if said in ("queued", "running") else "starting"
        if self.status.starting:
            return said
        return "interrupted" if said in ACTIVE else said

    @property
    def active(self) -> bool:
        return self.state in ACTIVE

    @property
    def resumable(self) -> bool:
        return not self.active and self.state != "finished"


class RunStore:
    """All runs below one folder. The folder is made when the first run is."""

    def __init__(self, root: str | Path):
        self.root = Path(root)

    # -- making and finding -------------------------------------------------------------------------------------

    def create(self, recipe: Recipe, name: str = "", parent: str | None = None, token: str | None = None) -> Run:
        """A new run; or the one that was created with the same `token`, so that a double click makes one run.

        The id is derived from the token and the folder appears by one rename, so that two processes that create
        with one token at once agree without talking to each other.
        """
        id = hashlib.sha256((token or secrets.token_hex(16)).encode()).hexdigest()[:10]
        if token and (self.root / id).exists():
            return self.get(id)
        config = RunConfig(id=id, name=_clean(name) or describe(recipe), created=time.time(), parent=parent,
                           recipe=recipe)
        with writable(self.root):
            draft = self.root / f".new-{secrets.token_hex(4)}"
            draft.mkdir(parents=True)
            try:
                write_atomically(draft / "config.json", _json(config))
                write_atomically(draft / "status.json", _json(Status(updated_at=time.time())))
                draft.rename(self.root / id)
                sync_folder(self.root)
            except OSError:
                shutil.rmtree(draft, ignore_errors=True)
                if not (self.root / id / "config.json").exists():
                    raise
        return self.get(id)

    def get(self, id: str) -> Run:
        """The run as it is now. Raises UserError if there is none, or if its config.json cannot be read."""
        path = self._path(id)
        try:
            return _read(path)
        except FileNotFoundError:
            raise UserError(f"There is no run {id!r} in {self.root}; it may be in the trash.") from None
        except (OSError, ValueError) as error:
            raise UserError(f"The run {id} cannot be read: {path / 'config.json'} is damaged ({error}).") from None

    def list(self) -> "list[Run]":
        """All readable runs, newest first."""
        return self.scan()[0]

    def scan(self) -> "tuple[list[Run], list[str]]":
        """All runs, newest first, and the ids of the folders whose config.json cannot be read."""
        runs, damaged = [], []
        for id in self._ids(self.root):
            try:
                runs.append(_read(self.root / id))
            except FileNotFoundError:
                if (self.root / id).exists():
                    damaged.append(id)
            except (OSError, ValueError):
                damaged.append(id)
        return sorted(runs, key=lambda run: run.config.created, reverse=True), damaged

    def lineage(self, id: str) -> "list[Run]":
        """The run's ancestors, eldest first, and the run itself; it begins late if an ancestor was deleted."""
        chain = [self.get(id)]
        while (parent := chain[0].config.parent) and (self.root / parent).exists() and len(chain) < 100:
            chain.insert(0, self.get(parent))
        return chain

    def events(self, id: str) -> "list[dict]":
        """All events in order. A line torn by a kill is skipped."""
        try:
            text = (self._path(id) / "events.jsonl").read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            return []
        return [event for line in text.splitlines() if (event := _parse(line)) is not None]

    def epochs(self, id: str) -> "list[dict]":
        """The EpochEnd events in order, once each: an epoch that was trained again after a kill counts once."""
        rows = {event["epoch"]: event for event in self.events(id) if event["event"] == "epochend"}
        return [rows[epoch] for epoch in sorted(rows)]

    def log(self, id: str, characters: int = 100_000) -> str:
        """The end of the log."""
        try:
            with (self._path(id) / "log.txt").open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - characters))
                return file.read().decode("utf-8", errors="replace")
        except FileNotFoundError:
            return ""

    # -- changing -----------------------------------------------------------------------------------------------

    def rename(self, id: str, name: str) -> Run:
        """Give the run another name. Raises UserError for an empty one."""
        if not (name := _clean(name)):
            raise UserError("A run needs a name of at least one character.")
        run = self.get(id)
        with writable(self.root):
            write_atomically(run.path / "config.json", _json(run.config.model_copy(update={"name": name})))
        return self.get(id)

    def delete(self, id: str) -> None:
        """Move the run to the trash. Raises UserError while a worker holds it."""
        run = self.get(id)
        if run.active:
            raise UserError(f"“{run.name}” is {run.state}: cancel it before you delete it.")
        with writable(self.root):
            self._trash.mkdir(exist_ok=True)
            shutil.rmtree(self._trash / id, ignore_errors=True)  # an earlier run that was made with the same token
            run.path.rename(self._trash / id)

    def trash(self) -> "list[Run]":
        """The deleted runs that can still be restored, newest first."""
        return RunStore(self._trash).list()

    def restore(self, id: str) -> Run:
        """Bring a run back from the trash."""
        self._path(id)
        try:
            (self._trash / id).rename(self.root / id)
        except OSError as error:
            raise UserError(f"The run {id} cannot be restored: {error.strerror}.") from None
        return self.get(id)

    def empty_trash(self) -> int:
        """Delete what is in the trash for good; the bytes that this freed."""
        freed = sum(file.stat().st_size for file in self._trash.rglob("*") if file.is_file())
        shutil.rmtree(self._trash, ignore_errors=True)
        return freed

    # -- inside -------------------------------------------------------------------------------------------------

    @property
    def _trash(self) -> Path:
        return self.root / ".trash"

    def _path(self, id: str) -> Path:
        """The folder of a run; ids come from URLs, so nothing but an id ever becomes a path."""
        if not isinstance(id, str) or not _ID.fullmatch(id):
            raise UserError(f"{str(id)[:40]!r} is not a run's id: it takes ten digits or letters from a to f.")
        return self.root / id

    @staticmethod
    def _ids(root: Path) -> Iterator[str]:
        try:
            yield from (entry.name for entry in os.scandir(root) if _ID.fullmatch(entry.name))
        except (FileNotFoundError, NotADirectoryError):  # the second says itself when a run is made
            return


def describe(recipe: Recipe) -> str:
    """A run's name where nobody gave it one, such as "VGG16 · CIFAR10 · 5% kept"."""
    kept = f"{recipe.density:.3%}".rstrip("0%").rstrip(".") + "% kept" if recipe.prune else "dense"
    method = {"snip": ""}.get(recipe.prune.method, f" {recipe.prune.method}") if recipe.prune else ""
    return f"{recipe.model} · {recipe.dataset} · {kept}{method}"


def write_status(path: Path, status: Status) -> None:
    """Only for whoever holds the lock of the run at `path`."""
    write_atomically(path / "status.json", _json(status.model_copy(update={"updated_at": time.time()})))


def read_status(path: Path) -> Status:
    """The status on file; the first one if the file is missing or damaged."""
    try:
        return Status.model_validate_json((path / "status.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return Status()


def _read(path: Path) -> Run:
    config = RunConfig.model_validate_json((path / "config.json").read_bytes())
    status = read_status(path)
    alive = status.state in ACTIVE and _held(path)
    if alive or status.state not in ACTIVE:
        return Run(path, config, status, alive)
    # The worker may have ended between the two looks: what it wrote last, before it let go of the lock, counts.
    return Run(path, config, read_status(path), alive=False)


def _held(path: Path) -> bool:
    """Whether a worker holds the run's lock. Who asks shares it, so that nobody takes the one for a worker."""
    try:
        if fcntl:
            with (path / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        else:  # Windows cannot share: whoever else asks is done in a moment
            FileLock(path / "lock").acquire(timeout=0.02, poll_interval=0.002).lock.release()
        return False
    except (BlockingIOError, Timeout):
        return True
    except OSError:  # no lock yet, or a folder that cannot be read: there is no worker in it
        return False


def _clean(name: str) -> str:
    return " ".join("".join(c for c in name if c.isprintable() or c.isspace()).split())[:120]


def _json(model: BaseModel) -> bytes:
    return model.model_dump_json(indent=1).encode()


def _parse(line: str) -> dict | None:
    try:
        event = json.loads(line)
    except ValueError:
        return None
    return event if isinstance(event, dict) and "event" in event else None


@contextmanager
def writable(root: Path) -> Iterator[None]:
    """Say in one sentence that the folder for runs, `root`, cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"The folder for runs, {root}, cannot be written ({error.strerror}): free some space, or name "
                        "another one with SECATEUR_RUNS or --runs-dir.") from error
