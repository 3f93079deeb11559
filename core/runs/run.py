"""One run as files say it is: what was asked for, where it has got to, and whether anybody works on it.

Whoever works on a run holds its `lock`. Alive means that the lock is held: no process id is trusted, so a run that
says "running" under a free lock was interrupted, whatever killed its worker.
"""

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
from core.files import write_atomically

try:
    import fcntl
except ImportError:
    fcntl = None

MODEL = "model.safetensors"  # a result: weights in float, quantized ones decoded
BEST = "best.safetensors"  # the weights of the epoch with the best test accuracy
PACKED = "packed.safetensors"  # a quantized result as its packed file
SOURCE = "source"  # the file that an import takes over

ACTIVE = ("starting", "queued", "running")
STARTING_SECONDS = 30  # a worker takes its lock within a second of its start; after this long it never will

State = Literal["created", "starting", "queued", "running", "finished", "failed", "cancelled", "interrupted"]


class RunConfig(BaseModel):
    """What was asked for. Only the name changes after a run was created.

    model, dataset and density (of the prunable weights, in (0, 1]) are the recipe's own, or else those of the parent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    created: float
    parent: str | None = None
    model: str
    dataset: str
    density: float = 1.0
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
    def model(self) -> str:
        return self.config.model

    @property
    def dataset(self) -> str:
        return self.config.dataset

    @property
    def density(self) -> float:
        return self.config.density

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

    @property
    def has_model(self) -> bool:
        """Whether other recipes and pages can work with its result."""
        return self.state == "finished" and (self.path / MODEL).exists()


def write_status(path: Path, status: Status) -> None:
    """Only for whoever holds the lock of the run at `path`."""
    write_atomically(path / "status.json", as_json(status.model_copy(update={"updated_at": time.time()})))


def read_status(path: Path) -> Status:
    """The status on file; the first one if the file is missing or damaged."""
    try:
        return Status.model_validate_json((path / "status.json").read_bytes())
    except (FileNotFoundError, ValidationError):
        return Status()


def read(path: Path) -> Run:
    """The run in a folder. Raises OSError or ValueError if its config.json cannot be read."""
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


def as_json(model: BaseModel) -> bytes:
    """A file's content, for machines and for people."""
    return model.model_dump_json(indent=1).encode()


@contextmanager
def writable(root: Path) -> Iterator[None]:
    """Say in one sentence that the folder for runs, `root`, cannot be written."""
    try:
        yield
    except OSError as error:
        raise UserError(f"The folder for runs, {root}, cannot be written ({error.strerror}): free some space, or name "
                        "another one with SECATEUR_RUNS or --runs-dir.") from error
