"""Checks the files of runs against the hashes that were recorded when they were written."""

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from pathlib import Path

from core.events import Progress
from core.hashes import HASHES, FileState, has_readable_hashes, recorded_files, state_of
from core.runs.epochs import epoch_file, kept_epochs
from core.runs.run import (
    ANSWERS,
    BEST,
    INITIAL,
    INT8,
    LATENCY,
    MASKS,
    MODEL,
    OLD_PACKED,
    PACKED,
    Run,
)

CHECKPOINT = "checkpoint.pt"
_RESULTS = (INITIAL, MODEL, BEST, MASKS, PACKED, OLD_PACKED, INT8, ANSWERS, LATENCY)


@dataclass(frozen=True)
class CheckedFile:
    """A file of a run, and how it compares with its recorded hash."""

    run_id: str
    path: Path
    state: FileState

    @property
    def bad(self) -> bool:
        """Whether the file is not what was written."""
        return self.state in ("damaged", "gone")


def check_runs(runs: Sequence[Run]) -> Generator[Progress, None, list[CheckedFile]]:
    """Read all results, checkpoints and kept epochs of the runs, and compare their hashes."""
    files = [(run.id, path) for run in runs for path in _files_of(run)]
    sizes = [_size(path) for _, path in files]
    checked = []
    done = 0
    for (run_id, path), size in zip(files, sizes, strict=True):
        yield Progress(f"Checking {run_id}", done, sum(sizes), "bytes")
        checked.append(CheckedFile(run_id, path, _state(path)))
        done += size
    return checked


def _state(path: Path) -> FileState:
    """Read a file again, and compare its hash. What cannot be read is damaged."""
    if path.name == HASHES:
        return "damaged"  # it is listed only then
    try:
        return state_of(path, afresh=True)
    except OSError:
        return "damaged"


def _files_of(run: Run) -> list[Path]:
    """List the files of a run that are there, and results that are gone though recorded."""
    expected = [path for path in recorded_files(run.path) if path.name in _RESULTS]
    known = [run.path / name for name in (*_RESULTS, CHECKPOINT)]
    known += [epoch_file(run.path, epoch) for epoch in kept_epochs(run.path)]
    present = [path for path in known if path.exists()]
    # Hashes that cannot be read protect nothing. Readable ones are not counted as files.
    folders = dict.fromkeys(path.parent for path in present)
    damaged = [folder / HASHES for folder in folders if not has_readable_hashes(folder)]
    return list(dict.fromkeys([*present, *expected, *damaged]))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
