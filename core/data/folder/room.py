"""Check that the disk has room for a data set before it is written."""

import shutil
from pathlib import Path

from core.errors import UserError

_SPARE_BYTES = 2**26


def check_room(folder: Path, count: int, side: int) -> None:
    """Raise UserError unless `count` images of `side` pixels fit on the disk of `folder`.

    folder: where they will be written; it need not exist.
    """
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    needed = count * 3 * side * side
    free = shutil.disk_usage(existing).free
    if needed + _SPARE_BYTES > free:
        raise UserError(
            f"The disk is too full: {needed / 1e9:,.1f} GB are needed in {folder.parent}, and"
            f" {free / 1e9:,.1f} GB are free."
        )
