"""The imported data sets under a root folder: their names, their folders, and their removal."""

import re
from pathlib import Path

from core.data.draft import scratch_folder, try_lock
from core.errors import UserError
from core.files import replace_file

FOLDER_PREFIX = "Folder/"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
# Windows takes none of these as the name of a file.
_RESERVED_NAME = re.compile(r"con|prn|aux|nul|com\d|lpt\d", re.IGNORECASE)


def check_new_name(name: str) -> None:
    """Raise UserError if a data set cannot be called Folder/`name`."""
    if not _NAME.fullmatch(name) or _RESERVED_NAME.fullmatch(name):
        raise UserError(f"name must be 1 to 64 letters, digits, - or _, got {name!r}")


def imported_path(name: str, root: Path) -> Path:
    """Return the folder of the data set `Folder/<name>`."""
    return root / "Folder" / name.removeprefix(FOLDER_PREFIX)


def imported_names(root: Path) -> list[str]:
    """Return the names of all imported data sets under `root`, also of damaged ones."""
    home = root / "Folder"
    if not home.is_dir():
        return []
    names = sorted(path.name for path in home.iterdir() if path.is_dir())
    return [f"{FOLDER_PREFIX}{name}" for name in names if _NAME.fullmatch(name)]


def remove(name: str, root: str | Path) -> None:
    """Delete the data set `Folder/<name>`.

    Raises UserError if there is none, or if another process is writing it.
    """
    root = Path(root)
    names = imported_names(root)
    if name not in names:
        expected = ", ".join(names) or "those of imported data sets (there are none)"
        raise UserError(f"name must be one of {expected}, got {name!r}")
    folder = imported_path(name, root)
    lock = try_lock(folder)
    if lock is None:
        raise UserError(f"{name} is just being written by another process.")
    try:
        with scratch_folder(folder.with_name(f".preparing-{folder.name}")) as trash:
            # After the rename no process can open the data set, even before its files are deleted.
            replace_file(folder, trash / "removed")
    finally:
        lock.release()
