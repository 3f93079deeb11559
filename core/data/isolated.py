"""Reads pictures of unknown origin, one or many of them, in a child process with limits."""

import tempfile
from collections.abc import Generator, Sequence
from pathlib import Path

from PIL import Image

from core.data.labelled.importing import import_images
from core.data.picture import open_picture
from core.errors import UserError
from core.events import Event, Progress, result_of
from core.sandbox import Limits, run_limited

_PICTURE_LIMITS = Limits(seconds=60, megabytes=600)
_IMPORT_LIMITS = Limits(seconds=120, megabytes=1_500)


def open_picture_isolated(content: bytes, shorter: int = 1024) -> Image.Image:
    """Decode a picture as `open_picture` does, in a child process with limits.

    Raises UserError, in one sentence, as `open_picture` does, and if the child crashes or exceeds a
    limit.
    """
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        source = Path(folder) / "source"
        source.write_bytes(content)
        target = Path(folder) / "pixels"
        arguments = {"source": str(source), "target": str(target), "shorter": shorter}
        events = run_limited(write_pixels, arguments, _PICTURE_LIMITS, "This picture")
        width, height = result_of(events)
        try:
            return Image.frombytes("RGB", (width, height), target.read_bytes())
        except (OSError, ValueError) as error:
            raise UserError("This picture could not be read: is the disk full?") from error


def write_pixels(source: str, target: str, shorter: int) -> Generator[Event, None, tuple[int, int]]:
    """Write the RGB bytes of the picture `source` to `target`, and return its size.

    Runs in the child.
    """
    yield Progress("Opening the picture", 0, 0)
    picture = open_picture(source, shorter)
    Path(target).write_bytes(picture.tobytes())
    return picture.size


def import_images_isolated(
    sources: Sequence[str | Path],
    root: str | Path,
    name: str,
    side: int = 32,
    replace: bool = False,
) -> Generator[Event, None, None]:
    """Make a data set as `import_images` does, in a child process with limits.

    Raises UserError as `import_images` does, also if the disk is full, and if the child crashes or
    exceeds a limit.
    """
    paths = [str(Path(source).expanduser().absolute()) for source in sources]
    arguments = {
        "sources": paths,
        "root": str(Path(root).expanduser().absolute()),
        "name": name,
        "side": side,
        "replace": replace,
    }
    yield from run_limited(import_images, arguments, _IMPORT_LIMITS, ", ".join(paths))
