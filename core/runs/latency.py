"""Finds, makes and reads the runs that measure how fast other runs' networks are."""

import contextlib
from collections.abc import Iterable
from dataclasses import dataclass

from core.config import Int8Recipe, LatencyRecipe
from core.deploy.latency_report import FLOAT_VARIANTS, LatencyReport, read_report
from core.errors import UserError
from core.hashes import require_intact
from core.runs.int8 import newest_int8
from core.runs.run import INT8, LATENCY, Run
from core.runs.store import RunStore


@dataclass(frozen=True)
class LatencySubject:
    """What is measured. network: the run of the network in float. int8: the run of its 8-bit file.

    int8 is None if there is no such run yet.
    """

    network: Run
    int8: Run | None

    def read_int8(self) -> tuple[bytes | None, str]:
        """Return the 8-bit file and where it is from; None and "" if there is none.

        Raises UserError if the file is damaged or gone.
        """
        if self.int8 is None:
            return None, ""
        path = self.int8.path / INT8
        try:
            require_intact(path)
            content = path.read_bytes()
        except OSError as error:
            raise UserError(f"The file of “{self.int8.name}” is gone ({error}).") from error
        return content, f"The 8-bit file is that of “{self.int8.name}” ({self.int8.id})."


def latency_subject(store: RunStore, run: Run) -> LatencySubject:
    """Return what is measured for a run: its own network, and the newest 8-bit file made from it.

    For a run that made an 8-bit file it is that file, and its parent's network. Raises UserError if
    that parent is gone.
    """
    if isinstance(run.recipe, Int8Recipe):
        return LatencySubject(store.get(str(run.config.parent)), run)
    return LatencySubject(run, newest_int8(store, run))


def request_latency(
    store: RunStore, parent: Run, recipe: LatencyRecipe, token: str | None = None
) -> Run:
    """Make a run that measures the parent's network, not yet started.

    token: as in `RunStore.create`. Raises UserError as that does.
    """
    return store.create(recipe, f"Speed of {parent.name}", parent=parent.id, token=token)


def read_latency(run: Run) -> LatencyReport:
    """Return the result of a finished measurement. Raises UserError if it cannot be read."""
    return read_report(run.path / LATENCY)


def latency_runs(store: RunStore, parent: Run) -> list[Run]:
    """Return the runs that measure, or measured, the parent's network, the newest first."""
    return [
        run
        for run in store.list(helpers=True)
        if isinstance(run.recipe, LatencyRecipe) and run.config.parent == parent.id
    ]


def newest_latencies(runs: Iterable[Run]) -> dict[str, Run]:
    """Return the newest finished measurement of each network, by the id of the network's run.

    runs: all runs, those that only measure among them, in any order.
    """
    finished = [
        run for run in runs if isinstance(run.recipe, LatencyRecipe) and run.state == "finished"
    ]
    finished.sort(key=lambda run: run.config.created)
    return {str(run.config.parent): run for run in finished}


def latency_figures(runs: Iterable[Run]) -> dict[str, dict[int, float]]:
    """Return the median milliseconds of measured networks, by the run's id and the batch size.

    They are those of the form that has the accuracy of the run: integer kernels for a run that made
    an 8-bit file, and the fastest form in float for any other. An 8-bit file is also measured
    whenever the network that it was made from is; of two measurements the newer one counts. runs:
    as in `newest_latencies`. A measurement that cannot be read is left out.
    """
    runs = list(runs)
    int8_ids = {run.id for run in runs if isinstance(run.recipe, Int8Recipe)}
    figures = {}
    newest = newest_latencies(runs).items()
    for run_id, measurement in sorted(newest, key=lambda item: item[1].config.created):
        with contextlib.suppress(UserError):
            report = read_latency(measurement)
            if run_id not in int8_ids:
                figures[run_id] = report.fastest_medians(FLOAT_VARIANTS)
            file_id = run_id if run_id in int8_ids else report.int8_run
            if file_id:
                figures[file_id] = report.fastest_medians(("int8",))
    return figures
