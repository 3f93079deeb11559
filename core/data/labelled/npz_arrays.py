"""Read the arrays of an .npz file piece by piece, without numpy's pickles.

The format: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html
"""

import math
import tokenize
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import numpy as np
from numpy.typing import NDArray

from core.data.folder.source_files import ZIP_ERRORS, check_unpacked_size, open_zip, printable
from core.errors import UserError

_MOST_BYTES = 2**41  # of a file, unpacked: ImageNet at 512 x 512 pixels has half of it
_SMALL_ARRAY_BYTES = 2**26
_CHUNK_BYTES = 2**22
_HEADER_ERRORS = (*ZIP_ERRORS, SyntaxError, tokenize.TokenError, TypeError)


@dataclass(frozen=True)
class StoredArray:
    """An array of an .npz file, of which only the header has been read.

    path: the file. member: name of its member. shape: at least one axis.
    """

    path: Path
    member: str
    dtype: np.dtype
    shape: tuple[int, ...]

    @property
    def name(self) -> str:
        return self.member.removesuffix(".npy")

    @property
    def row_bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape[1:])

    def read(self) -> NDArray[np.generic]:
        """Return the whole array. Raises UserError if it has more than 64 MB."""
        if self.shape[0] * self.row_bytes > _SMALL_ARRAY_BYTES:
            raise UserError(
                f"{self.name} in {self.path} is too large for labels or names: its shape is"
                f" {self.shape}."
            )
        return np.concatenate([np.empty((0, *self.shape[1:]), self.dtype), *self.chunks()])

    def chunks(self) -> Iterator[NDArray[np.generic]]:
        """Read the array from its first row on, about 4 MB at a time. Raises UserError."""
        rows = max(1, _CHUNK_BYTES // max(1, self.row_bytes))
        try:
            with open_zip(self.path) as archive, archive.open(self.member) as file:
                _read_header(file)
                for start in range(0, self.shape[0], rows):
                    count = min(rows, self.shape[0] - start)
                    data = file.read(count * self.row_bytes)
                    yield np.frombuffer(data, self.dtype).reshape(count, *self.shape[1:])
        except ZIP_ERRORS as error:
            raise UserError(f"{self.name} in {self.path} is damaged ({_short(error)}).") from error


def array_names(path: Path) -> dict[str, str]:
    """Return the members of an .npz file by the names of the arrays, in small letters.

    Raises UserError if it is no .npz file, or if it is packed so well that it cannot hold images.
    """
    if not zipfile.is_zipfile(path):
        raise UserError(f"{path} is not an .npz file: it is no zip of arrays, or it is cut off.")
    with open_zip(path) as archive:
        members = archive.infolist()
        check_unpacked_size(members, path, _MOST_BYTES)
        names = [member.filename for member in members if member.filename.endswith(".npy")]
    return {name.removesuffix(".npy").lower(): name for name in names}


def is_npz(path: Path) -> bool:
    """Return whether a file is a zip of arrays alone."""
    try:
        with open_zip(path) as archive:
            names = archive.namelist()
    except UserError:
        return False
    return bool(names) and all(name.endswith(".npy") for name in names)


def find_array(path: Path, member: str) -> StoredArray:
    """Read the header of an array. Raises UserError if it is damaged, or holds Python objects."""
    name = printable(member.removesuffix(".npy"))[:100]
    try:
        with open_zip(path) as archive:
            info = archive.getinfo(member)
            with archive.open(info) as file:
                shape, is_fortran, dtype = _read_header(file)
                header_bytes = file.tell()
    except UserError:
        raise
    except _HEADER_ERRORS as error:
        raise UserError(f"{name} in {path} is damaged ({_short(error)}).") from error
    if dtype.hasobject:
        raise UserError(
            f"{name} in {path} holds Python objects, which could run a program when they are read:"
            " save it as an array of numbers."
        )
    if is_fortran and len(shape) > 1:
        raise UserError(
            f"{name} in {path} is stored in Fortran's order: save numpy.ascontiguousarray({name})."
        )
    stored = StoredArray(path, member, dtype, shape or (1,))
    _check_length(stored, info, header_bytes)
    return stored


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Return shape, whether it is in Fortran's order, and type, of the array that follows."""
    version = np.lib.format.read_magic(file)
    if version == (1, 0):
        return np.lib.format.read_array_header_1_0(file)
    if version == (2, 0):
        return np.lib.format.read_array_header_2_0(file)
    raise ValueError(f"version {version} of the format is not known")


def _check_length(stored: StoredArray, info: zipfile.ZipInfo, header_bytes: int) -> None:
    expected = stored.shape[0] * stored.row_bytes
    if info.file_size - header_bytes != expected or min(stored.shape) < 0:
        raise UserError(
            f"{stored.name} in {stored.path} is damaged: its shape {stored.shape} takes"
            f" {expected:,} bytes, and there are {info.file_size - header_bytes:,}."
        )


def _short(error: BaseException) -> str:
    return " ".join(printable(str(error)).split())[:100] or type(error).__name__
