"""Explain why a run failed, in one sentence that says what to do. The log has the traceback."""

import errno

from core.errors import CheckpointError, UserError
from core.runs.run import Run

_NO_MEMORY = (
    "can't allocate memory",
    "cannot allocate memory",
    "failed to map segment",  # of a library, when torch is loaded
    "bad_alloc",
    "not enough memory",
    "out of memory",
    "alloc failed",
    "allocation failed",
)
_DISK_FULL = (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC))
_NOT_ALLOWED = (errno.EACCES, errno.EPERM, errno.EROFS)


def explain_failure(error: BaseException, run: Run) -> str:
    """Return the sentence that a failed run shows for `error`."""
    if isinstance(error, CheckpointError):
        return _explain_checkpoint(error, run)
    if isinstance(error, UserError):
        return str(error)
    # torch.save raises an error of its own when writing fails. The cause is its context.
    if isinstance(error.__context__, OSError):
        error = error.__context__
    text = str(error)
    if _is_memory_error(error):
        return _explain_memory(text.lower(), run)
    if isinstance(error, OSError):
        explanation = _explain_file_error(error, run)
        if explanation:
            return explanation
    first_line = text.splitlines()[0][:200].rstrip(".") if text else "no message"
    return f"An unexpected {type(error).__name__}: {first_line}. The log has the details."


def _explain_checkpoint(error: CheckpointError, run: Run) -> str:
    cause = error.__cause__
    if cause is not None and _is_memory_error(cause):
        return _explain_memory(str(cause).lower(), run)
    path = run.path / "checkpoint.pt"
    return f"The checkpoint {path} is damaged: delete it, and resume to begin anew."


def _is_memory_error(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(words in text for words in _NO_MEMORY)


def _explain_memory(text: str, run: Run) -> str:
    is_loading = "failed to map segment" in text  # the text names a library, such as libtorch_cuda
    is_gpu = not is_loading and ("cuda" in text or "mps" in text)
    place = "The GPU" if is_gpu else "This machine"
    remedy = "close what else uses the memory, and resume."
    batch_size = getattr(run.recipe, "batch_size", None)
    if batch_size:
        remedy = (
            f"take a smaller batch size (it was {batch_size}) or a smaller network, or {remedy}"
        )
    return f"{place} ran out of memory: {remedy}"


def _explain_file_error(error: OSError, run: Run) -> str | None:
    """Return the sentence for an error that a person can mend, or None for any other."""
    path = error.filename or run.path
    if error.errno in _DISK_FULL:
        return f"The disk that holds {path} is full: free some space and resume."
    if error.errno == errno.EFBIG:
        return f"{path} became larger than this account may write: raise the limit and resume."
    if isinstance(error, IsADirectoryError):
        return f"{path} is a folder where a file belongs: move it away and resume."
    if error.errno in _NOT_ALLOWED:
        return f"{path} cannot be written ({error.strerror}): correct its permissions and resume."
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) and error.filename:
        return (
            f"{path} is not there ({error.strerror}): bring it back, or name another folder, and"
            " resume."
        )
    return None
