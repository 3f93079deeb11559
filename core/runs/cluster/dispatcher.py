"""The process that looks after the runs of a cluster: `python -m core.runs.cluster.dispatcher DIR`.

It sends the waiting runs of a folder to Ray, oldest first, asks what became of them, and writes it
down. So pages and commands read files only, and never wait for a cluster. One such process works on
a folder of runs; it ends with the last of them, and the next start or look begins another one.
"""

import argparse
import sys
import time
from itertools import groupby
from pathlib import Path

from core.errors import UserError
from core.runs.cluster.command import command, explain_exit, resources, variables
from core.runs.cluster.jobs import JobReport, Jobs
from core.runs.cluster.waiting import (
    STARTING,
    WAITING_FOLDER,
    change_waiting,
    new_job,
    take_stop_request,
    waiting_runs,
)
from core.runs.heartbeat import beating, forget_beat, silent_seconds
from core.runs.launch import settle
from core.runs.lock import RunLock
from core.runs.run import ACTIVE, RayJob, Run
from core.runs.store import RunStore

LOOK_SECONDS = 1.0
"""The least time between two rounds. A slow cluster is asked less often."""

MOST_PENDING = 8
"""Jobs that Ray may hold waiting. It forgets a job that waits for 15 minutes, so ours is the queue:
the other runs wait here.
"""

_LOST_SECONDS = 10.0
"""A worker whose job Ray has given up, without a heartbeat for so long, is lost."""


def dispatch(root: Path) -> None:
    """Look after the runs in `root` that were sent to a cluster, until none of them is active.

    Returns at once if another process does so already.
    """
    folder = root / WAITING_FOLDER
    folder.mkdir(exist_ok=True)
    while waiting_runs(root):
        with RunLock(folder) as lock:
            is_mine = lock.take(0)
            (folder / STARTING).unlink(missing_ok=True)
            if not is_mine:
                return
            with beating(folder):
                _work(root)
        # A run may have come after the last look, when its starter still saw this process.


def _work(root: Path) -> None:
    while runs := waiting_runs(root):
        began = time.monotonic()
        for address, group in groupby(sorted(runs, key=_address), key=_address):
            _look_after(address, sorted(group, key=lambda run: run.status.queued_at))
        seconds = time.monotonic() - began
        time.sleep(max(LOOK_SECONDS, 2 * seconds))


def _address(run: Run) -> str:
    return _job(run).address


def _job(run: Run) -> RayJob:
    assert run.status.job is not None
    return run.status.job


def _look_after(address: str, runs: list[Run]) -> None:
    """Make one round over the runs of a cluster, in the order of their queue."""
    jobs = Jobs(address)
    unsent = []
    pending = 0
    try:
        for run in runs:
            job = jobs.get(_job(run).id)
            if job is None and run.status.waits_for_cluster:
                unsent.append(run)
            else:
                pending += job is not None and job.status == "PENDING"
                _take_answer(run, job, jobs)
        if unsent:
            jobs.check_version()
            _send(unsent, MOST_PENDING - pending, jobs)
    except UserError as error:
        for run in runs:
            change_waiting(run, stage="Waiting for the cluster", message=str(error))


def _take_answer(run: Run, job: JobReport | None, jobs: Jobs) -> None:
    """Do what follows from Ray's answer about the job of a run; None if Ray does not know it."""
    if job is not None and not job.is_over:
        if job.status == "PENDING":
            _say_that_it_waits(run)
        if take_stop_request(run):
            jobs.stop(_job(run).id)
        return
    if job is not None and job.never_began:
        change_waiting(run, job=new_job(run, _address(run), Path(_job(run).data)))
        return
    silence = silent_seconds(run.path)
    if silence is not None:
        if silence < _LOST_SECONDS:
            return
        forget_beat(run.path)
    # The worker may have begun, and even ended, since the round began.
    now = RunStore(run.path.parent).get(run.id)
    if now.status.job == run.status.job and now.status.state in ACTIVE:
        _settle(now, job)


def _settle(run: Run, job: JobReport | None) -> None:
    """Write down how the run ended, if its worker could not."""
    if run.status.worker is not None:
        reason = "Ray does not know its job any more"
        if job is not None:
            reason = "It was stopped" if job.status == "STOPPED" else "Its node or process was lost"
        settle(run, "interrupted", f"{reason} ({run.status.place}).")
        return
    settle(run, "failed", _why_it_never_began(run, job))


def _why_it_never_began(run: Run, job: JobReport | None) -> str:
    code = None if job is None else job.driver_exit_code
    if code is not None:
        at_once = f"Its process on the node ended at once, with exit code {code}. The log says why."
        return explain_exit(code, run) or at_once
    lines = (job.message or "").splitlines() if job is not None else []
    return f"Ray could not start it: {lines[0][:300] if lines else 'it gives no reason'}"


def _send(runs: list[Run], room: int, jobs: Jobs) -> None:
    """Send as many runs as there is room for. The others wait here."""
    gpus_of_cluster = int(sum(node.get("GPU", 0) for node in jobs.nodes()))
    for place, run in enumerate(runs):
        gpus, cpus = resources(run, gpus_of_cluster)
        if gpus > gpus_of_cluster:
            change_waiting(
                run,
                stage="Waiting for a GPU",
                message=f"It needs {gpus} GPU{'s' * (gpus > 1)}, and the nodes of the cluster have"
                f" {gpus_of_cluster}.",
            )
        elif place < room:
            job = _job(run)
            jobs.submit(job.id, command(run, job), gpus, cpus, variables())
            _say_that_it_waits(run)
        else:
            _say_that_it_waits(run)


def _say_that_it_waits(run: Run) -> None:
    change_waiting(
        run,
        stage="Waiting for a node of the cluster",
        message="It starts as soon as a node has a free CPU or GPU for it.",
    )


def main(arguments: list[str] | None = None) -> int:
    """Look after the runs of a folder that were sent to a cluster. Return 0."""
    parser = argparse.ArgumentParser(
        prog="python -m core.runs.cluster.dispatcher", description=main.__doc__
    )
    parser.add_argument("folder", type=Path, help="the folder with all runs")
    dispatch(parser.parse_args(arguments).folder.absolute())
    return 0


if __name__ == "__main__":
    sys.exit(main())
