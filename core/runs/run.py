"""One run as its files describe it: its recipe, its progress, and whether a worker is at it.

The worker of a run holds its `lock`. A run is alive if the lock is held, or if a worker on another
machine, whose lock may not be seen here, has a heartbeat. No process id is trusted: a run that says
"running" under a free lock was interrupted, whatever ended its worker.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from core.accuracy import ChosenBy
from core.config import AnswersRecipe, LatencyRecipe, Recipe
from core.errors import UserError
from core.events import Summary
from core.files import write_atomically
from core.runs.access.access import EVERYTHING, Access
from core.runs.access.person import Person
from core.runs.lock import is_lock_held
from core.runs.tags import MOST_TAGS, Tags, is_tag

MODEL = "model.safetensors"
"""The weights of the result in float. Quantized weights are dequantized."""

INITIAL = "initial.safetensors"
"""The weights that a training starts from, as drawn, before the mask cuts any."""

BEST = "best.safetensors"
"""The weights after the best epoch, as `core.accuracy.best_epoch` chooses it."""

PACKED = "packed.secateur"
"""The packed file of the result."""

OLD_PACKED = "packed.safetensors"
"""The packed file of a run of an older version. It has the same content."""

ANSWERS = "answers.safetensors"
"""The answers of the parent's network for the test images."""

MASKS = "masks.safetensors"
"""Which prunable weights a pruned training kept."""

INT8 = "int8.onnx"
"""The ONNX file with 8-bit integer layers."""

LATENCY = "latency.json"
"""The speed of the parent's network."""

IMPORT_SOURCE = "source"
"""The file that an import reads."""

ACTIVE = ("starting", "queued", "running")

STARTING_SECONDS = 30
"""A worker takes its lock within a second of its start. After this long it never will."""

SILENT_SECONDS = 20
"""A worker gives a sign of life every two seconds. After this long without one, a page says so."""

State = Literal[
    "created", "starting", "queued", "running", "finished", "failed", "cancelled", "interrupted"
]


def _check_tag(word: str) -> str:
    if not is_tag(word):
        raise ValueError("not a tag")
    return word


class RunConfig(BaseModel):
    """The settings of a run. Only its name and its tags change after it was created.

    id: ten hexadecimal digits. created: time in seconds since the epoch. parent: id of the run that
    the recipe is applied to. model, dataset: names from the recipe, or else from the parent.
    density: fraction of the prunable weights that is kept, in (0, 1], likewise. tags: see
    `core.runs.tags`; a run of an older version has none. owner: who made it; None if nobody was
    logged in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    name: str
    created: float = Field(ge=0, le=3e10)  # a calendar takes no later year than 2920
    parent: str | None = None
    model: str
    dataset: str
    density: float = 1.0
    tags: tuple[Annotated[str, AfterValidator(_check_tag)], ...] = Field((), max_length=MOST_TAGS)
    owner: Person | None = None
    recipe: Recipe

    @model_validator(mode="before")
    @classmethod
    def _accept_older_recipe(cls, values: Any) -> Any:
        """Read a recipe of an older version as what it meant then.

        All scoring was in training mode, and all rounding was to the nearest level.
        """
        if not isinstance(values, dict) or not isinstance(values.get("recipe"), dict):
            return values
        recipe = values["recipe"]
        prune = recipe.get("prune")
        if isinstance(prune, dict) and "score_mode" not in prune:
            recipe = {**recipe, "prune": {**prune, "score_mode": "train"}}
        if recipe.get("kind") in ("kmeans", "affine") and "rounding" not in recipe:
            recipe = {**recipe, "rounding": "nearest"}
        return {**values, "recipe": recipe}


class WorkerProcess(BaseModel):
    """The process that works on a run. started: time of its start, in seconds since the epoch.

    host: name of its machine; empty in a file of an older version, which knew only this one.
    Whether a run is alive is never concluded from it: only the lock says that.
    """

    model_config = ConfigDict(frozen=True)

    pid: int
    started: float
    host: str = ""


class RayJob(BaseModel):
    """The job of a Ray cluster in which a run is worked on.

    address: of the cluster's dashboard. id: the job's, which is chosen before it is sent, so that
    sending it twice makes one job. data: the folder of the data sets.
    """

    model_config = ConfigDict(frozen=True)

    address: str
    id: str
    data: str


class Status(BaseModel):
    """The progress of a run. It is written only while the lock of the run is held.

    message: why the run failed or was stopped. stage: the work of this moment, of which `done` of
    `total` units are finished. loss: training loss. epoch: number of finished epochs, of `epochs`.
    best_accuracy: test accuracy of the best epoch. best_by: how that epoch is chosen.
    accuracies: test accuracies by epoch, thinned for a small picture. seconds_left: estimate.
    batch_losses: while the run is active, pairs of the epochs that are done, with their fraction,
    and the mean training loss of the current epoch so far; thinned.
    kept, prunable: numbers of weights, from the pruning or the summary. summary: None until the run
    is finished. worker: the process that wrote this. job: that of the cluster to which the run was
    sent, None for a run on this machine. Times are in seconds since the epoch. A figure is None
    while it is unknown.
    """

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
    best_by: ChosenBy | None = None
    accuracies: list[float] = Field(default_factory=list)
    batch_losses: list[tuple[float, float]] = Field(default_factory=list)
    seconds_left: float | None = None
    queued_at: float = 0.0
    started_at: float = 0.0
    updated_at: float = 0.0
    kept: int | None = None
    prunable: int | None = None
    summary: Summary | None = None
    worker: WorkerProcess | None = None
    job: RayJob | None = None

    @model_validator(mode="before")
    @classmethod
    def _accept_older_summary(cls, values: Any) -> Any:
        """Accept the summary of an older status.json, which may be empty or lack figures."""
        if not isinstance(values, dict) or not isinstance(values.get("summary"), dict):
            return values
        figures = values["summary"]
        counts = {name: figures[name] for name in ("kept", "prunable") if name in figures}
        try:
            summary = Summary.model_validate(figures)
        except ValidationError:
            summary = None
        return counts | values | {"summary": summary}

    @property
    def starting(self) -> bool:
        """Whether a worker is sure to come.

        It was started so recently that it may not have its lock yet, or the cluster will start it.
        """
        if self.waits_for_cluster:
            return True
        return self.state == "starting" and time.time() - self.updated_at < STARTING_SECONDS

    @property
    def waits_for_cluster(self) -> bool:
        """Whether the run waits for a node of a cluster, which can take any time."""
        return self.job is not None and self.worker is None and self.state == "queued"

    @property
    def place(self) -> str:
        """Where the run is or was on a cluster, such as "on node n5, Ray job x"; else empty."""
        if self.job is None:
            return ""
        node = f"on node {self.worker.host}, " if self.worker else ""
        return f"{node}Ray job {self.job.id}"

    @property
    def progress(self) -> float:
        """The fraction of the training that is done, in [0, 1]."""
        if not self.epochs:
            return 0.0
        within_epoch = 0.0
        if self.total and self.unit == "batches":
            within_epoch = self.done / self.total
        return min(1.0, (self.epoch + within_epoch) / self.epochs)


@dataclass(frozen=True)
class Run:
    """A run as it was on disk when it was read.

    alive: a worker held its lock at that moment. access: what the one who read it may do with it.
    """

    path: Path
    config: RunConfig
    status: Status
    alive: bool
    access: Access = field(default=EVERYTHING, compare=False, repr=False)

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def tags(self) -> Tags:
        return self.config.tags

    @property
    def owner(self) -> Person | None:
        return self.config.owner

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
        """The state in status.json, corrected by the lock.

        A run that is active by its status but whose lock is free was interrupted.
        """
        state = self.status.state
        if self.alive:
            return state if state in ("queued", "running") else "starting"
        if state not in ACTIVE or self.status.starting:
            return state
        return "interrupted"

    @property
    def active(self) -> bool:
        """Whether a worker is at it, or is about to be."""
        return self.state in ACTIVE

    @property
    def resumable(self) -> bool:
        """Whether the run can be started again, and continue."""
        return not self.active and self.state != "finished"

    @property
    def has_model(self) -> bool:
        """Whether other recipes and pages can use the resulting network."""
        return self.state == "finished" and self.file_bytes(MODEL) is not None

    def file_bytes(self, name: str) -> int | None:
        """Return the size of a file in the run's folder in bytes, None if it is not there."""
        try:
            path = f"{self.path}{os.sep}{name}"
            facts = os.stat(path)  # noqa: PTH116 - Path.stat takes four times as long
        except OSError:
            return None
        return facts.st_size if stat.S_ISREG(facts.st_mode) else None

    @property
    def packed_file(self) -> Path:
        """The packed file of the result, which is there once the run is finished."""
        new = self.path / PACKED
        old = self.path / OLD_PACKED
        return old if old.exists() and not new.exists() else new

    @property
    def is_helper(self) -> bool:
        """Whether the run only measures its parent for a page, and never has a model of its own."""
        return isinstance(self.recipe, AnswersRecipe | LatencyRecipe)

    @property
    def is_for_everybody(self) -> bool:
        """Whether everybody who may start runs may repeat or delete it: it only measured one."""
        return self.is_helper and not self.active

    @property
    def silent_seconds(self) -> float:
        """The time since the worker's last sign of life; 0 if there is no worker.

        A worker that works touches its lock every few seconds, whatever it is busy with.
        """
        if not self.alive:
            return 0.0
        last_sign = self.status.updated_at
        with contextlib.suppress(OSError):
            last_sign = max(last_sign, (self.path / "lock").stat().st_mtime)
        return max(0.0, time.time() - last_sign)


def write_status(path: Path, status: Status) -> None:
    """Write status.json into the run's folder `path`. The caller holds the lock of the run."""
    dated = status.model_copy(update={"updated_at": time.time()})
    write_atomically(path / "status.json", to_json(dated))


def read_status(path: Path) -> Status:
    """Read status.json. Return the status of a new run if the file is missing or damaged."""
    try:
        return Status.model_validate_json((path / "status.json").read_bytes())
    except (OSError, ValidationError):
        return Status()


def read_run(path: Path) -> Run:
    """Read the run in a folder. Raises OSError or ValueError if its config.json cannot be read."""
    config = RunConfig.model_validate_json((path / "config.json").read_bytes())
    return correct_by_lock(Run(path, config, read_status(path), alive=False))


def correct_by_lock(run: Run) -> Run:
    """Return the run with `alive` as its lock says at this moment."""
    if run.status.state not in ACTIVE:
        return run
    if is_lock_held(run.path):
        return replace(run, alive=True)
    # The worker may have ended after the status was read and before the lock was checked.
    # Read again the status that it wrote before it released the lock.
    return replace(run, status=read_status(run.path), alive=False)


def recorded_accuracy(run: Run) -> float | None:
    """Return the accuracy on all test images that the run recorded, None if it has none.

    The accuracy of a half of them does not compare with it.
    """
    summary = run.status.summary
    return None if summary is None or summary.test_half else summary.test_accuracy


def to_json(model: BaseModel) -> bytes:
    """Return the content of a JSON file, indented for people."""
    return model.model_dump_json(indent=1).encode()


@contextmanager
def explain_unwritable(root: Path) -> Iterator[None]:
    """Turn an OSError into a UserError that says that the folder for runs cannot be written."""
    try:
        yield
    except OSError as error:
        raise unwritable(root, error) from error


def unwritable(root: Path, error: OSError) -> UserError:
    """Return the error that says that the folder for runs cannot be written, and why."""
    return UserError(
        f"The folder for runs, {root}, cannot be written ({error.strerror}): free some space,"
        " or name another one with SECATEUR_RUNS or --runs-dir."
    )
