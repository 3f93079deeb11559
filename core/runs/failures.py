"""What went wrong, in one sentence that says what to do; the traceback is in the log."""

import errno

from core.errors import UserError
from core.runs.run import Run

_NO_MEMORY = ("can't allocate memory", "not enough memory", "out of memory", "alloc failed", "allocation failed")


def explain(error: BaseException, run: Run) -> str:
    """The sentence that a failed run shows for `error`."""
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error.__context__, OSError):  # torch.save replaces what writing raised by an error of its own
        error = error.__context__
    text = str(error)
    if isinstance(error, MemoryError) or any(words in text.lower() for words in _NO_MEMORY):
        where = "The GPU" if "cuda" in text.lower() or "mps" in text.lower() else "This machine"
        size = getattr(run.recipe, "batch_size", None)
        smaller = f"take a smaller batch size (it was {size}) or a smaller network, or " if size else ""
        return f"{where} ran out of memory: {smaller}close what else uses the memory, and resume."
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)):
        return f"The disk that holds {error.filename or run.path} is full: free some space and resume."
    if isinstance(error, OSError) and error.errno == errno.EFBIG:
        return f"{error.filename or run.path} became larger than this account may write: raise the limit and resume."
    if isinstance(error, OSError) and error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return f"{error.filename or run.path} cannot be written ({error.strerror}): mend its permissions and resume."
    if isinstance(error, (FileNotFoundError, NotADirectoryError)) and error.filename:
        return f"{error.filename} is not there ({error.strerror}): bring it back, or name another folder, and resume."
    first = text.splitlines()[0][:200].rstrip(".") if text else "no message"
    return f"An unexpected {type(error).__name__}: {first}. The log has the details."
