"""The process of one rank: `python -m core.runs.ranks.process FOLDER`.

The elastic agent of the run's worker starts it, with the address of the others in the environment.
Rank 0 works on the run as a worker does. The others only take part in its training steps.
"""

import argparse
import os
import sys
import threading
import time
from pathlib import Path
from typing import TYPE_CHECKING

from core.config import TrainRecipe
from core.errors import RankLost, UserError
from core.events import Note
from core.runs.record import Record
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.worker import Ended, Stop, carry_out, recording_end

if TYPE_CHECKING:
    from torch.distributed import Store

    from core.training.ranks.process_group import ProcessGroup

STOP = "stop"
"""The file in a run's folder by which the worker asks rank 0 to end with a checkpoint."""

_CODE = Path(__file__).resolve().parents[3]
"""The folder that contains the package `core`."""

_CHECK_SECONDS = 0.2


def rank_command(folder: Path, data: Path, threads: int) -> list[str]:
    """Return the words that start a rank, which ends when this process ends.

    threads: processor threads of each rank, unless the environment says how many.
    """
    threads = int(os.environ.get("OMP_NUM_THREADS", threads))
    paths = os.pathsep.join([str(_CODE), *filter(None, [os.environ.get("PYTHONPATH")])])
    settings = [f"PYTHONPATH={paths}", f"OMP_NUM_THREADS={threads}"]
    module = [sys.executable, "-m", "core.runs.ranks.process", str(folder)]
    return ["env", *settings, *module, "--data-dir", str(data), "--worker", str(os.getpid())]


class _StopFile(Stop):
    """Set when the worker asks this rank to end."""

    def __init__(self, run: Run) -> None:
        super().__init__()
        self._path = run.path / STOP

    def is_set(self) -> bool:
        return self._path.exists()


def main(arguments: list[str] | None = None) -> int:
    """Take one rank's part in the work on a run. Return 0, or 1 if another rank was lost."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("folder", type=Path, help="the run's directory")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--worker", type=int, required=True, help="id of the worker's process")
    options = parser.parse_args(arguments)
    _end_with(options.worker)
    run = RunStore(options.folder.parent).get(options.folder.name)
    stop = _StopFile(run)
    # An earlier rank 0 may have written how the run ended, before it died.
    if run.status.state != "running" or stop.is_set():
        return 0
    try:
        _take_part(run, options.data_dir, stop)
    except RankLost as lost:
        print(f"Another process of the training ended: {lost}", file=sys.stderr)
        return 1
    return 0


def _take_part(run: Run, data: Path, stop: Stop) -> None:
    import torch.distributed as dist

    from core.jobs.train import TrainJob
    from core.training.device import choose_devices
    from core.training.ranks.process_group import connect

    assert isinstance(run.recipe, TrainRecipe)
    count = run.recipe.devices
    rank = int(os.environ["RANK"])
    device = choose_devices(run.recipe.device, count)[rank]
    group = connect(device, store=_meeting_place(), rank=rank, world_size=count)
    if group.rank == 0:
        _lead(run, data, stop, group)
    else:
        TrainJob(run.recipe, data, ranks=group).follow(group)
    dist.destroy_process_group()


def _meeting_place() -> "Store":
    """Return the agent's store, in which the ranks find each other's addresses.

    It lives through restarts. So each restart has a part of its own in it, where no addresses of
    dead processes are.
    """
    from torch.distributed import PrefixStore, TCPStore

    port = int(os.environ["MASTER_PORT"])
    store = TCPStore(os.environ["MASTER_ADDR"], port, is_master=False)
    return PrefixStore(f"start {os.environ['TORCHELASTIC_RESTART_COUNT']}", store)


def _lead(run: Run, data: Path, stop: Stop, group: "ProcessGroup") -> None:
    """Work on the run as its worker would, and write down how it ends."""
    from core.jobs.train import TrainJob
    from core.runs import artefacts

    assert isinstance(run.recipe, TrainRecipe)
    record = Record(run)
    with recording_end(run, record):
        checkpoint = artefacts.load_checkpoint(run)
        record.follow(checkpoint["history"] if checkpoint else None)
        _note_restart(record)
        job = TrainJob(run.recipe, data, checkpoint, group)
        try:
            for _ in carry_out(run, job, stop, record):
                pass
        except (Ended, UserError):
            group.end()
            raise
        group.end()


def _note_restart(record: Record) -> None:
    """Say that a rank died, if that is why this process was started."""
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", 0))
    if restarts:
        most = os.environ["TORCHELASTIC_MAX_RESTARTS"]
        text = (
            "A process of the training died. All of them start again from the last checkpoint"
            f" (restart {restarts} of at most {most})."
        )
        record.take(Note(text, "warning"))


def _end_with(worker: int) -> None:
    """End this process at once when the worker has ended, however it did."""

    def watch() -> None:
        while os.getppid() == worker:
            time.sleep(_CHECK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, name="worker watch", daemon=True).start()


if __name__ == "__main__":
    sys.exit(main())
