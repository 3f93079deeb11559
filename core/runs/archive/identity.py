"""Tells whether two folders hold the same run, whatever its name and its tags are."""

import hashlib
from pathlib import Path

from core.hashes import content_hash
from core.runs.archive.layout import CONFIG, STATUS, archived_files
from core.runs.run import MODEL, Run, RunConfig

_VARIABLE = {"id", "name", "tags", "parent", "owner"}
_NOT_COMPARED = (CONFIG, STATUS, "log.txt")


def identity(folder: Path) -> str:
    """Return what identifies the content of a run's folder, as 64 hexadecimal digits.

    It is the SHA-256 of its network in float. Without one it covers every file of its zip, apart
    from name, state and log. Raises OSError for a folder or file that cannot be read.
    """
    if (folder / MODEL).is_file():
        return content_hash(folder / MODEL)
    names = [name for name in archived_files(folder, True) if name not in _NOT_COMPARED]
    lines = [f"{name} {content_hash(folder / name)}\n" for name in names]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def is_same(run: Run, config: RunConfig, folder: Path) -> bool:
    """Whether the run has the recipe in `config` and the content of `folder`."""
    if _recipe_of(run.config) != _recipe_of(config):
        return False
    return identity(run.path) == identity(folder)


def _recipe_of(config: RunConfig) -> dict[str, object]:
    return config.model_dump(exclude=_VARIABLE)
