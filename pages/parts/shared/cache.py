"""Cache keys for what a page computes from a file."""

from pathlib import Path

from core.errors import UserError
from core.runs.run import MODEL, Run

# The path, the size in bytes and the time of the last change in nanoseconds.
FileKey = tuple[str, int, int]


def file_key(path: Path) -> FileKey:
    """Path, size in bytes and time of the last change in nanoseconds.

    A file that was written again has another key. Raises OSError if the file does not exist.
    """
    facts = path.stat()
    return str(path), facts.st_size, facts.st_mtime_ns


def model_key(run: Run) -> FileKey:
    """The key of a run's model file. Raises UserError if the file is gone."""
    try:
        return file_key(run.path / MODEL)
    except OSError as error:
        raise UserError(f"The model of “{run.name}” is gone ({error.strerror}).") from error
