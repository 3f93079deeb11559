"""Work on a sweep by a cluster: many runs at once, each a run like any other."""

import time
from collections import Counter
from collections.abc import Generator, Iterator

from core.errors import UserError
from core.events import Event, Note, Progress
from core.runs import launch
from core.runs.run import Run
from core.runs.sweeps.names import step_name
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Step, Sweep
from core.runs.worker import Stop

_MOST_ACTIVE = 100
"""Runs that are sent at a time. The dispatcher looks at each of them in every round."""

_LOOK_SECONDS = 1.0


def work_on_cluster(sweep: Sweep, store: SweepStore, stop: Stop) -> Generator[Event, None, None]:
    """Send the runs of a sweep to the cluster as they become ready, until none is left.

    A run whose node was lost is resumed once. If the sweep is stopped, its runs are cancelled, and
    can be continued. Raises UserError if the sweep was deleted.
    """
    starts: Counter[str] = Counter()
    ended: set[str] = set()
    told: set[str] = set()
    while not stop.is_set() and not sweep.cancel_file.exists():
        sweep = store.get(sweep.id)
        yield from _say_what_ended(sweep, starts, ended)
        open_steps = list(_open_steps(sweep))
        active = [step.run for step in open_steps if step.run is not None and step.run.active]
        yield from _say_why_they_wait(active, told)
        ready = [step for step in open_steps if _may_start(step, starts)]
        if not active and not ready:
            return
        for step in ready[: max(0, _MOST_ACTIVE - len(active))]:
            starts[step.run_id] += 1
            yield from _start(sweep, step, store)
        launch.look_after(store.runs.root)
        yield _progress(sweep, active)
        stop.wait(_LOOK_SECONDS)
    yield from _cancel(store.get(sweep.id), store)


def _open_steps(sweep: Sweep) -> Iterator[Step]:
    """Yield the first step of each chain that is not finished, shared ones once."""
    seen = set()
    for steps in sweep.members:
        step = next((step for step in steps if not step.is_finished), None)
        if step is not None and step.run_id not in seen:
            seen.add(step.run_id)
            yield step


def _may_start(step: Step, starts: Counter[str]) -> bool:
    """Whether nothing works on it, and it was not tried yet, or once and then lost."""
    if step.run is not None and step.run.active:
        return False
    was_lost = step.run is not None and step.run.state == "interrupted"
    return starts[step.run_id] < (2 if was_lost else 1)


def _start(sweep: Sweep, step: Step, store: SweepStore) -> Iterator[Event]:
    name = step_name(sweep, step)
    try:
        tags = sweep.config.tags
        run = store.runs.create(step.recipe, name, step.parent, step.token, tags=tags)
        again = " again" if run.status.worker is not None else ""
        yield Note(f"To the cluster{again}: {run.name} ({run.id})")
        launch.resume(run, store.data)
    except UserError as error:  # such as a run that was deleted meanwhile
        yield Note(f"{name}: {error}", "warning")


def _say_what_ended(sweep: Sweep, starts: Counter[str], ended: set[str]) -> Iterator[Event]:
    """Yield a note for each run that was sent and has ended since the last look."""
    for run in sweep.runs:
        if run.id in starts and run.id not in ended and not run.active:
            ended.add(run.id)
            if run.state == "finished":
                yield Note(f"Finished: {run.name} ({run.id}), {run.status.place}")
            else:
                yield Note(f"“{run.name}” is {run.state}: {run.status.message}", "warning")
        elif run.active:
            ended.discard(run.id)


def _say_why_they_wait(active: list[Run], told: set[str]) -> Iterator[Event]:
    """Yield once each reason for which runs wait, such as a cluster that does not answer."""
    for status in (run.status for run in active):
        if status.waits_for_cluster and status.message and status.message not in told:
            told.add(status.message)
            yield Note(f"{status.stage}: {status.message}")


def _progress(sweep: Sweep, active: list[Run]) -> Progress:
    finished = sum(step.is_finished for step in sweep.steps)
    return Progress(f"{len(active)} runs on the cluster", finished, len(sweep.steps), "runs")


def _cancel(sweep: Sweep, store: SweepStore) -> Generator[Event, None, None]:
    """Cancel the runs that the cluster has, and wait until they have ended."""
    for run in sweep.runs:
        if run.active:
            launch.cancel(run)
    while any(run.active for run in store.get(sweep.id).runs):
        yield Progress("Waiting for the runs on the cluster to end", 0, 0, "runs")
        time.sleep(_LOOK_SECONDS)
