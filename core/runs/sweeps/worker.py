"""The process that works on one sweep: `python -m core.runs.sweeps.worker FOLDER`.

It works on one run after the other, in this process; or it sends all to a cluster, and stays on the
machine that started it, where it only waits. A run that fails does not stop the rest.
Whatever ends it, the next one goes on where it stopped: what is to do follows from the runs alone.
"""

import argparse
import contextlib
import sys
import time
from collections.abc import Container, Generator
from pathlib import Path

from core.config import data_root
from core.errors import UserError
from core.events import Event, Note, Progress
from core.runs import launch
from core.runs.access.access import Access
from core.runs.cluster.address import cluster_address
from core.runs.heartbeat import beating
from core.runs.lock import RunLock
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.sweeps.names import step_name
from core.runs.sweeps.on_cluster import work_on_cluster
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Step, Sweep
from core.runs.worker import Stop
from core.runs.worker import work as work_on_run

_LOOK_SECONDS = 1.0
"""The time between two looks at a run that another process works on."""


def work(
    sweep: Sweep, data: Path, stop: Stop | None = None, here: bool = False
) -> Generator[Event, None, None]:
    """Work on a sweep to its end, and yield the events of its runs.

    here: on this machine, although RAY_ADDRESS names a cluster. Yields nothing if another process
    works on it. Runs that failed are tried again, after all that were never tried. Points that are
    added meanwhile are worked on, too. `data` is the folder of the data sets.
    `core.runs.sweeps.launch.allow` takes back an earlier cancel. Raises UserError if the sweep was
    deleted.
    """
    stop = stop or Stop()
    root = sweep.path.parent.parent
    store = SweepStore(RunStore(root, Access(sweep.owner)), data)  # its runs are its owner's, too
    with RunLock(sweep.path) as lock:
        if not lock.take(timeout=3):
            return
        sweep.starting_file.unlink(missing_ok=True)
        if not here and cluster_address():
            with beating(sweep.path):
                yield from work_on_cluster(sweep, store, stop)
            return
        from core.training.score_memory import remembering_scores  # imports torch

        tried: set[str] = set()
        with remembering_scores(), beating(sweep.path):
            while not stop.is_set() and not sweep.cancel_file.exists():
                current = store.get(sweep.id)
                step = next_step(current, tried)
                if step is None:
                    break
                tried.add(step.run_id)
                yield from _work_on_step(current, step, store.runs, data, stop)


def next_step(sweep: Sweep, tried: Container[str]) -> Step | None:
    """Return the step to work on next, None if there is none.

    It is the first one of a chain that is not finished. Those without a run come before those whose
    run has ended in another way. tried: ids of runs that this process has tried.
    """
    ready = []
    for steps in sweep.members:
        step = next((step for step in steps if not step.is_finished), None)
        if step is not None and step.run_id not in tried:
            ready.append(step)
    ready.sort(key=lambda step: step.run is not None and not step.run.active)
    return ready[0] if ready else None


def _work_on_step(
    sweep: Sweep, step: Step, runs: RunStore, data: Path, stop: Stop
) -> Generator[Event, None, None]:
    name = step_name(sweep, step)
    try:
        tags = sweep.config.tags
        run = runs.create(step.recipe, name, step.parent, step.token, tags=tags)
        yield Note(f"Run {_number(sweep, step)} of {len(sweep.steps)}: {run.name} ({run.id})")
        yield from _until_stopped(sweep, _work_on_run(run, runs, data, stop), stop)
        run = runs.get(run.id)
        if run.state != "finished" and not stop.is_set():
            yield Note(f"“{run.name}” is {run.state}: {run.status.message}", "warning")
    except UserError as error:  # such as a run that was deleted meanwhile
        yield Note(f"{name}: {error}", "warning")


def _work_on_run(run: Run, runs: RunStore, data: Path, stop: Stop) -> Generator[Event, None, None]:
    """Work on the run, after the process that already works on it has ended."""
    while not stop.is_set():
        if launch.reopen(run, take_back=True):
            yield from work_on_run(run, data, stop)
            return
        if not runs.get(run.id).active:  # the other process has finished it
            return
        yield Progress(f"Waiting for {run.name}", 0, 0, "runs")
        stop.wait(_LOOK_SECONDS)


def _until_stopped(
    sweep: Sweep, events: Generator[Event, None, None], stop: Stop
) -> Generator[Event, None, None]:
    """Yield the events, and set `stop` as soon as the sweep is cancelled."""
    for event in events:
        if sweep.cancel_file.exists():
            stop.set()
        yield event


def _number(sweep: Sweep, step: Step) -> int:
    return [other.run_id for other in sweep.steps].index(step.run_id) + 1


def main(arguments: list[str] | None = None) -> int:
    """Work on the sweep in a folder until it ends. Return 0 if all its runs finished, else 1."""
    parser = argparse.ArgumentParser(
        prog="python -m core.runs.sweeps.worker", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="the sweep's directory")
    parser.add_argument("--data-dir", type=Path, help="the folder of the data sets")
    options = parser.parse_args(arguments)
    folder = options.folder.absolute()
    store = SweepStore(RunStore(folder.parent.parent))
    try:
        sweep = store.get(folder.name)
        for event in work(sweep, data_root(options.data_dir), Stop().listen()):
            if isinstance(event, Note):
                print(time.strftime("%H:%M:%S"), event, flush=True)
        return 0 if store.get(folder.name).state == "finished" else 1
    except UserError as error:  # the sweep was deleted
        print(error, file=sys.stderr)
        return 1


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt):
        sys.exit(main())
