"""Cache keys for what a page computes from a file, and what a model file says of its past."""

from pathlib import Path

from core.errors import UserError
from core.models.saved import read_card
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


def quantized_file(run: Run) -> Path | None:
    """The run's packed file if it holds quantized weights, otherwise None.

    Every finished run has a packed file, but that of a network in float tells nothing that the
    model file does not. Raises UserError if the model file is damaged.
    """
    packed = run.packed_file
    if packed.exists() and read_card(run.path / MODEL).is_quantized:
        return packed
    return None


def has_shared_weights(run: Run) -> bool:
    """Whether k-means has shared the weights of a run's model, now or in an earlier run."""
    return read_card(run.path / MODEL).shares_weights
