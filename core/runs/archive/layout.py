"""The layout of a run's zip: which files of the run's folder are in it, and its manifest.

    <id>/config.json  <id>/status.json  <id>/events.jsonl  <id>/model.safetensors  ...
    archive.json

Nothing is compressed: floats hardly shrink, and a zip without compression cannot unpack to more
than its own size. Locks, temporary files and everything that is not named here stay behind.
"""

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from core.hashes import HASHES
from core.runs.integrity import CHECKPOINT
from core.runs.run import (
    ACTIVE,
    ANSWERS,
    BEST,
    IMPORT_SOURCE,
    INITIAL,
    INT8,
    LATENCY,
    MASKS,
    MODEL,
    OLD_PACKED,
    PACKED,
    Status,
)

MANIFEST = "archive.json"
FORMAT = "secateur-run"
VERSION = 1

CONFIG = "config.json"
STATUS = "status.json"

RESUME_ONLY = (CHECKPOINT, IMPORT_SOURCE)
"""Files that only a run that goes on needs. The zip of a finished run has none of them."""

MOST_FILES = 10_000

_UNLIMITED = 2**60
_LARGEST = {
    CONFIG: 2**20,
    STATUS: 2**20,
    "events.jsonl": 2**28,
    "log.txt": 2**28,
    HASHES: 2**22,
    LATENCY: 2**22,
    MANIFEST: 2**22,
    **dict.fromkeys((MODEL, INITIAL, BEST, MASKS, PACKED, OLD_PACKED, INT8, ANSWERS), _UNLIMITED),
    **dict.fromkeys(RESUME_ONLY, _UNLIMITED),
}
"""The most bytes of each file. Those that are read in one piece have a limit."""

_EPOCH_FILE = re.compile(r"epochs/[1-9][0-9]{0,8}\.safetensors")
_EPOCH_HASHES = f"epochs/{HASHES}"


class FileFacts(BaseModel):
    """The size of a file in bytes, and its SHA-256 as hexadecimal digits."""

    model_config = ConfigDict(frozen=True)

    size: int = Field(ge=0)
    sha256: str


class Manifest(BaseModel):
    """What a zip says about itself.

    secateur: version of the app that wrote it. run: id of the run. parent: what identifies the
    parent's content, see `core.runs.archive.identity`; None if it is not known. files: every other
    file, by its name in the run's folder.
    """

    model_config = ConfigDict(frozen=True)

    format: str
    version: int
    secateur: str
    run: str
    parent: str | None = None
    files: dict[str, FileFacts]


def largest_bytes(name: str) -> int:
    """Return the most bytes that the file `name` of a run may have; 0 if it does not belong."""
    if name in _LARGEST:
        return _LARGEST[name]
    if name == _EPOCH_HASHES:
        return _LARGEST[HASHES]
    return _UNLIMITED if _EPOCH_FILE.fullmatch(name) else 0


def archived_files(folder: Path, is_finished: bool) -> list[str]:
    """List the files in a run's folder that belong into its zip, sorted, with "/" in names."""
    found = [path.name for path in folder.iterdir() if path.is_file()]
    found += [f"epochs/{path.name}" for path in (folder / "epochs").glob("*") if path.is_file()]
    unwanted = {MANIFEST, *(RESUME_ONLY if is_finished else ())}
    return sorted(name for name in found if largest_bytes(name) and name not in unwanted)


def portable_status(status: Status) -> Status:
    """Return the status as it is on a machine where no process works on the run."""
    state = "interrupted" if status.state in ACTIVE else status.state
    return status.model_copy(update={"state": state, "worker": None})
