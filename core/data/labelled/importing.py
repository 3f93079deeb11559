"""Make the data set Folder/NAME from folders, zip files, .npz files and Parquet files."""

from collections.abc import Generator, Sequence
from pathlib import Path

from core.data.folder.importing import import_folder, in_new_folder
from core.data.labelled.npz import open_npz
from core.data.labelled.npz_arrays import is_npz
from core.data.labelled.parquet_files import parquet_files_in
from core.data.labelled.source import LabelledSource
from core.data.labelled.writing import write_source
from core.errors import UserError
from core.events import Event, Progress

_PARQUET_MAGIC = b"PAR1"
_ZIP_MAGIC = b"PK\x03\x04"


def import_images(
    sources: Sequence[str | Path],
    root: str | Path,
    name: str,
    side: int = 32,
    replace: bool = False,
) -> Generator[Event, None, None]:
    """Make the data set `Folder/<name>` from one source, or from several Parquet files.

    A source is a folder or a zip file with a folder for each class, an .npz file, a Parquet file,
    or a folder of Parquet files. What it is, its content tells, not its name. See `import_folder`
    for the other arguments and the errors; `open_npz` and `open_parquet` for what is taken.
    """
    paths = [Path(source).expanduser() for source in sources]
    kinds = {_kind_of(path) for path in paths}
    if kinds == {"parquet"}:
        yield from in_new_folder(
            root, name, side, replace, lambda folder: _write_parquet(paths, folder, side)
        )
    elif len(paths) != 1:
        raise UserError(
            "source must be one folder or one file: several are taken only if all are Parquet"
            " files."
        )
    elif kinds == {"npz"}:
        yield from in_new_folder(
            root, name, side, replace, lambda folder: _write_npz(paths[0], folder, side)
        )
    else:
        yield from import_folder(paths[0], root, name, side, replace)


def _kind_of(path: Path) -> str:
    """Return "parquet", "npz", or "folder" for everything that `import_folder` judges."""
    if path.is_dir():
        return "parquet" if parquet_files_in(path) else "folder"
    magic = _first_bytes(path)
    if magic == _PARQUET_MAGIC or path.suffix.lower() == ".parquet":
        return "parquet"
    if path.suffix.lower() == ".npz" or (magic == _ZIP_MAGIC and is_npz(path)):
        return "npz"
    return "folder"


def _first_bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(4)
    except (OSError, ValueError):
        return b""


def _write_npz(path: Path, folder: Path, side: int) -> Generator[Event, None, None]:
    yield Progress("Reading labels", 0, 0)
    yield from write_source(open_npz(path), folder, side)


def _write_parquet(paths: list[Path], folder: Path, side: int) -> Generator[Event, None, None]:
    # pyarrow takes a third of a second to import, which most uses of the data sets do without.
    from core.data.labelled.parquet import open_parquet

    yield Progress("Reading labels", 0, 0)
    source: LabelledSource = open_parquet(paths)
    yield from write_source(source, folder, side)
