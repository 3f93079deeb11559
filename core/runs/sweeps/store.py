"""The store of all sweeps: make, extend, find, read and delete them. Their runs stay."""

import contextlib
import secrets
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path

from filelock import FileLock
from pydantic import ValidationError

from core.config import data_root
from core.errors import UserError
from core.files import write_atomically
from core.runs.access.limits import check_limits
from core.runs.listing import RUN_ID
from core.runs.lock import RunLock
from core.runs.run import explain_unwritable, to_json
from core.runs.store import RunStore, clean_name, run_id_of
from core.runs.sweeps.grid import MOST_CHAINS, Chain
from core.runs.sweeps.plan import plan_chains, unique_chains
from core.runs.sweeps.sweep import (
    PlannedChain,
    Step,
    Sweep,
    SweepConfig,
    is_alive,
    steps_of,
    unique_steps,
)
from core.runs.tags import Tags, change_tags, check_tags

_EDIT_SECONDS = 30
"""Writing a sweep takes a moment. After this long another process hangs."""

# Inside SweepStore the name `list` is its method.
_Sweeps = list[Sweep]
_Steps = list[Step]


class SweepStore:
    """All sweeps of a store of runs. The folder is made together with the first sweep.

    data: the folder of the data sets (default: `core.config.data_root()`).
    """

    def __init__(self, runs: RunStore, data: Path | None = None) -> None:
        self.runs = runs
        self.root = runs.root / ".sweeps"
        self.data = data_root(data)

    def create(
        self,
        chains: Iterable[Chain],
        name: str = "",
        parent: str | None = None,
        tags: Iterable[str] = (),
    ) -> Sweep:
        """Make a sweep of these chains, or return the one that was made of the same chains.

        parent: id of the run whose network each chain begins with. tags: for all its runs, also
        those that exist already. Raises UserError for no chains, for a parent without a result, for
        words that cannot be tags, if the folder cannot be written, and if no run may be made now.
        """
        check_limits(self.runs.access, self.runs.root)
        tags = check_tags(tags)
        planned = tuple(plan_chains(chains, parent, self.data))
        self._check(planned, parent)
        tokens = ";".join(run.token for chain in planned for run in chain)
        sweep_id = run_id_of(f"sweep of {tokens}")
        with self._editing():
            existing = self._read(sweep_id)
            if existing is None:
                config = SweepConfig(
                    id=sweep_id,
                    name=clean_name(name) or _describe(planned),
                    created=time.time(),
                    parent=parent,
                    tags=tags,
                    owner=self.runs.access.person,
                    chains=planned,
                )
                self._write(config)
            elif tags:
                self._write(_with_tags(existing, tags))
        return self._tag_runs(sweep_id, tags)

    def add(
        self,
        sweep_id: str,
        chains: Iterable[Chain],
        parent: str | None = None,
        tags: Iterable[str] = (),
    ) -> Sweep:
        """Add those of the chains that the sweep does not have yet, and tags for all its runs.

        Raises UserError if the sweep begins with another network, if it is somebody else's, and as
        `create` does.
        """
        check_limits(self.runs.access, self.runs.root)
        tags = check_tags(tags)
        planned = plan_chains(chains, parent, self.data)
        self.runs.access.check_change(self.get(sweep_id))
        with self._editing():
            config = self.get(sweep_id).config
            if config.parent != parent:
                raise UserError(f"“{config.name}” begins with another network: start a new sweep.")
            together = tuple(unique_chains((*config.chains, *planned)))
            self._check(together, parent)
            self._write(_with_tags(config, tags).model_copy(update={"chains": together}))
        return self._tag_runs(sweep_id, tags)

    def get(self, sweep_id: str) -> Sweep:
        """Read a sweep as it is now. Raises UserError if it is not there or cannot be read."""
        file = self._file(sweep_id)
        config = self._read(sweep_id)
        if config is None:
            if file.exists():
                raise UserError(f"The sweep {sweep_id} cannot be read: {file} is damaged.")
            raise UserError(f"There is no sweep {sweep_id!r} in {self.runs.root}.")
        return self._with_runs([config])[0]

    def list(self) -> _Sweeps:
        """Read all sweeps that can be read, newest first."""
        configs = [self._read(path.name) for path in self.root.glob("*") if _is_id(path.name)]
        found = [config for config in configs if config is not None]
        found.sort(key=lambda config: config.created, reverse=True)
        return self._with_runs(found)

    def names_with(self, run_id: str) -> tuple[str, ...]:
        """Return the names of the sweeps that the run belongs to, in alphabetical order."""
        configs = [self._read(path.name) for path in self.root.glob("*") if _is_id(path.name)]
        return tuple(
            sorted(
                config.name
                for config in configs
                if config is not None and run_id in _run_ids(config)
            )
        )

    def missing(self, chains: Iterable[Chain], parent: str | None = None) -> _Steps:
        """Return those steps of the chains that are not finished yet."""
        runs = {run.id: run for run in self.runs.list()}
        planned = plan_chains(chains, parent, self.data)
        steps = unique_steps(steps_of(chain, parent, runs) for chain in planned)
        return [step for step in steps if not step.is_finished]

    def delete(self, sweep_id: str) -> None:
        """Delete the sweep. Its runs stay. Raises UserError while a process works on it.

        Likewise for a sweep of somebody else.
        """
        sweep = self.get(sweep_id)
        self.runs.access.check_change(sweep)
        with explain_unwritable(self.runs.root), RunLock(sweep.path) as lock:
            if not lock.take(timeout=1) or is_alive(sweep.path, but_lock=True):
                raise UserError(f"“{sweep.name}” is running: cancel it before you delete it.")
            gone = self.root / f".gone-{secrets.token_hex(4)}"
            if sys.platform == "win32":
                lock.release()  # Windows moves no folder with an open file
            sweep.path.rename(gone)
        shutil.rmtree(gone, ignore_errors=True)

    def _tag_runs(self, sweep_id: str, tags: Tags) -> Sweep:
        """Give the runs that exist already the tags, and return the sweep as it is afterwards."""
        if tags:
            for run in self.get(sweep_id).runs:
                self.runs.change_tags(run.id, add=tags)
        return self.get(sweep_id)

    def _check(self, chains: tuple[PlannedChain, ...], parent: str | None) -> None:
        if not chains or not all(chains):
            raise UserError("A sweep needs at least one run.")
        if len(chains) > MOST_CHAINS:
            raise UserError(f"A sweep takes at most {MOST_CHAINS:,} combinations.")
        if parent is not None and not self.runs.get(parent).has_model:
            run = self.runs.get(parent)
            raise UserError(f"“{run.name}” has no result to start from: it is {run.state}.")

    def _with_runs(self, configs: Iterable[SweepConfig]) -> _Sweeps:
        runs = {run.id: run for run in self.runs.list()}
        sweeps = []
        for config in configs:
            path = self._path(config.id)
            members = tuple(tuple(steps_of(chain, config.parent, runs)) for chain in config.chains)
            sweeps.append(Sweep(path, config, is_alive(path), members, self.runs.access))
        return sweeps

    @contextlib.contextmanager
    def _editing(self) -> Iterator[None]:
        """Let one process at a time read, change and write a sweep."""
        with explain_unwritable(self.runs.root):
            self.root.mkdir(parents=True, exist_ok=True)
            lock = FileLock(self.root / "edit.lock")
            lock.acquire(timeout=_EDIT_SECONDS)
        try:
            yield
        finally:
            lock.release()

    def _read(self, sweep_id: str) -> SweepConfig | None:
        """Read the settings of a sweep, None if they are missing or damaged."""
        with contextlib.suppress(OSError, ValidationError):
            config = SweepConfig.model_validate_json(self._file(sweep_id).read_bytes())
            return config if config.id == sweep_id else None
        return None

    def _write(self, config: SweepConfig) -> None:
        file = self._file(config.id)
        with explain_unwritable(self.runs.root):
            file.parent.mkdir(parents=True, exist_ok=True)
            write_atomically(file, to_json(config))

    def _file(self, sweep_id: str) -> Path:
        return self._path(sweep_id) / "sweep.json"

    def _path(self, sweep_id: str) -> Path:
        """Return the folder of a sweep. Ids come from addresses, so all else is refused."""
        if not isinstance(sweep_id, str) or not _is_id(sweep_id):
            text = str(sweep_id)[:40]
            raise UserError(
                f"{text!r} is not a sweep's id: it takes ten digits or letters from a to f."
            )
        return self.root / sweep_id


def _run_ids(config: SweepConfig) -> set[str]:
    return {run_id_of(planned.token) for chain in config.chains for planned in chain}


def _with_tags(config: SweepConfig, tags: Tags) -> SweepConfig:
    return config.model_copy(update={"tags": change_tags(config.tags, add=tags, remove=())})


def _is_id(text: str) -> bool:
    return RUN_ID.fullmatch(text) is not None


def _describe(chains: tuple[PlannedChain, ...]) -> str:
    """Return the usual name of a sweep, such as "LeNet5 · Digits · 6 combinations"."""
    first = [chain[0].recipe for chain in chains]
    words = []
    for field in ("model", "dataset"):
        values = list(dict.fromkeys(getattr(recipe, field, "") for recipe in first))
        words += [", ".join(values)] if all(values) else []
    count = "1 combination" if len(chains) == 1 else f"{len(chains)} combinations"
    return " · ".join([*words, count])
