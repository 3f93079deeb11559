"""One sweep as its files describe it: its recipes, the runs that they became, and its state.

    runs/.sweeps/<id>/sweep.json  lock  log.txt  starting  cancel

The process that works on a sweep holds its `lock`, as the worker of a run does. `starting` is there
from the start of that process until it has the lock.
"""

import contextlib
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from core.config import Recipe
from core.config.budget import NOTHING_FITS
from core.runs.access.access import EVERYTHING, Access
from core.runs.access.person import Person
from core.runs.listing import RUN_ID
from core.runs.lock import is_lock_held
from core.runs.run import STARTING_SECONDS, Run
from core.runs.store import run_id_of
from core.runs.tags import Tags

SweepState = Literal["running", "finished", "stopped"]


class PlannedRun(BaseModel):
    """One recipe of a sweep. token: that of the run which it becomes, see `RunStore.create`.

    The token is kept here, so that it stays when a later version gives recipes more settings.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    recipe: Recipe
    token: str = Field(min_length=1)


PlannedChain = Annotated[tuple[PlannedRun, ...], Field(min_length=1)]
"""The planned runs of one combination, each applied to the result of the one before it."""


class SweepConfig(BaseModel):
    """The settings of a sweep.

    id: ten hexadecimal digits. created: time in seconds since the epoch. parent: id of the run that
    each chain begins with, None if it begins with a training. tags: those of all its runs. owner:
    who made it, and its runs; None if nobody was logged in.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str = Field(pattern=RUN_ID.pattern)
    name: str
    created: float = Field(ge=0, le=3e10)
    parent: str | None = None
    tags: Tags = ()
    owner: Person | None = None
    chains: tuple[PlannedChain, ...] = Field(min_length=1)


@dataclass(frozen=True)
class Step:
    """One recipe of a sweep, and the run that it becomes or became.

    parent: id of the run that the recipe is applied to, None for a training. run: None if it does
    not exist yet.
    """

    recipe: Recipe
    parent: str | None
    token: str
    run_id: str
    run: Run | None

    @property
    def is_finished(self) -> bool:
        return self.run is not None and self.run.state == "finished"

    @property
    def could_not_fit(self) -> bool:
        """Whether its run failed because even the smallest file of its network is over the limit.

        To try again would change nothing.
        """
        if self.run is None or self.run.state != "failed":
            return False
        return self.run.status.message.startswith(NOTHING_FITS)

    @property
    def is_done(self) -> bool:
        """Whether nothing is left to run: it finished, or its network could not fit."""
        return self.is_finished or self.could_not_fit


@dataclass(frozen=True)
class Sweep:
    """A sweep as it was on disk when it was read.

    alive: a process worked on it then, or had just been started. members: the steps of each chain.
    access: what the one who read it may do with it.
    """

    path: Path
    config: SweepConfig
    alive: bool
    members: tuple[tuple[Step, ...], ...]
    access: Access = field(default=EVERYTHING, compare=False, repr=False)
    is_for_everybody: bool = field(default=False, init=False)

    @property
    def id(self) -> str:
        return self.config.id

    @property
    def name(self) -> str:
        return self.config.name

    @property
    def owner(self) -> Person | None:
        return self.config.owner

    @property
    def cancel_file(self) -> Path:
        """The file that asks the process to stop, with a checkpoint of its run."""
        return self.path / "cancel"

    @property
    def starting_file(self) -> Path:
        return self.path / "starting"

    @property
    def steps(self) -> list[Step]:
        """All steps, those that chains share once, in the order in which they are worked on."""
        return unique_steps(self.members)

    @property
    def runs(self) -> list[Run]:
        """The runs that exist."""
        return [step.run for step in self.steps if step.run is not None]

    @property
    def state(self) -> SweepState:
        """Return running while a process works on it, and stopped if some runs are left.

        Those whose network could not fit into its limit are not left.
        """
        if self.alive:
            return "running"
        return "finished" if all(step.is_done for step in self.steps) else "stopped"


def is_alive(path: Path, but_lock: bool = False) -> bool:
    """Whether a process works on the sweep in this folder, or has just been started.

    but_lock: the caller holds the lock itself, so that only a process that starts counts.
    """
    if not but_lock and is_lock_held(path):
        return True
    with contextlib.suppress(OSError):
        started = (path / "starting").stat().st_mtime
        return time.time() - started < STARTING_SECONDS
    return False


def steps_of(
    chain: Iterable[PlannedRun], parent: str | None, runs: Mapping[str, Run]
) -> Iterator[Step]:
    """Yield the steps of a chain. runs: all runs by id."""
    for planned in chain:
        run_id = run_id_of(planned.token)
        yield Step(planned.recipe, parent, planned.token, run_id, runs.get(run_id))
        parent = run_id


def unique_steps(members: Iterable[Iterable[Step]]) -> list[Step]:
    """Return the steps of all chains in their order, those that chains share once."""
    return list({step.run_id: step for steps in members for step in steps}.values())
