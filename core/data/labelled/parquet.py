"""Images and labels of Parquet files, as Hugging Face stores them."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from core.data.folder.source_files import printable
from core.data.imageset import Labels, Pixels
from core.data.labelled.parquet_columns import Columns, find_columns
from core.data.labelled.parquet_files import (
    Shard,
    SplitName,
    choose_splits,
    find_shards,
    split_of_word,
)
from core.data.labelled.source import (
    LabelledSource,
    StoredImage,
    check_count,
    labels_of_numbers,
    tidy_names,
)
from core.data.picture import open_picture, to_square
from core.errors import UserError

_ERRORS = (pa.ArrowException, OSError, ValueError, KeyError, RuntimeError)
_PICTURES = 32  # that are read at once
_LABELS = 65_536


@dataclass(frozen=True)
class _Rows:
    """The rows of one file.

    values: labels as they are stored, integers or texts (N,).
    splits: split of each row, an array of SplitName or None (N,).
    """

    shard: Shard
    values: list[int] | list[str]
    splits: list[SplitName | None]


def open_parquet(sources: Sequence[Path]) -> LabelledSource:
    """Return the images of Parquet files. Only the columns of labels are read yet.

    sources: files, or one folder that holds them, also in folders of its own. Names such as
    train-00000-of-00002.parquet, or a column named split, say which images are for testing.
    Validation images are the test images if there are no others, or if those have no labels.
    Raises UserError, in one sentence, for anything else.
    """
    what = printable(", ".join(str(source) for source in sources))[:300]
    shards = find_shards(sources)
    columns = _common_columns(shards)
    check_count(sum(_count_rows(shard) for shard in shards), what)
    rows = [_read_rows(shard, columns) for shard in shards]
    trained, tested = choose_splits(_labelled_splits(rows))
    chosen = [_chosen(part, trained, tested) for part in rows]
    splits = np.array([split for part in rows for split in part.splits], object)
    is_chosen = np.concatenate(chosen)
    values = [value for part in rows for value in part.values]
    kept_values = [value for value, keep in zip(values, is_chosen, strict=True) if keep]
    if not kept_values:
        raise UserError(f"{what} holds no images with labels: all are -1.")
    labels, classes = _labels_of(kept_values, columns.classes, what)
    is_test = splits[is_chosen] == tested if tested else None
    return LabelledSource(
        name=what,
        classes=classes,
        labels=labels,
        is_test=is_test,
        contents=partial(_contents, shards, columns, chosen),
        square=_square,
        notes=_notes(splits, is_chosen),
    )


def _common_columns(shards: Sequence[Shard]) -> Columns:
    """Return the columns, which are the same in all files. Raises UserError otherwise."""
    first: Columns | None = None
    for shard in shards:
        with _opened(shard.path) as file:
            columns = find_columns(file.schema_arrow, printable(str(shard.path)))
        if first is None:
            first = columns
        if columns != first:
            raise UserError(
                f"{shard.path} has other columns or class names than {shards[0].path}: all files"
                " must be of one data set."
            )
    assert first is not None
    return first


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[pq.ParquetFile]:
    """Open a file within the block. Raises UserError if it is damaged, also while it is read."""
    try:
        # With a buffer, a column is read page by page, however large its row groups are.
        with pq.ParquetFile(path, pre_buffer=False, buffer_size=2**20) as file:
            yield file
    except _ERRORS as error:
        reason = " ".join(printable(str(error)).split())[:100] or type(error).__name__
        raise UserError(f"{path} is not a Parquet file that can be read ({reason}).") from error


def _count_rows(shard: Shard) -> int:
    with _opened(shard.path) as file:
        return int(file.metadata.num_rows)


def _read_rows(shard: Shard, columns: Columns) -> _Rows:
    """Read the labels of a file, and the split of each row. Raises UserError."""
    values: list = []
    splits: list[SplitName | None] = []
    names = [columns.label] + ([columns.split] if columns.split else [])
    with _opened(shard.path) as file:
        for batch in file.iter_batches(_LABELS, columns=names, use_threads=False):
            values += batch.column(columns.label).to_pylist()
            if columns.split:
                splits += [
                    split_of_word(text or "") for text in batch.column(columns.split).to_pylist()
                ]
    if None in values:
        raise UserError(f"{shard.path} has rows without a label in its column {columns.label}.")
    return _Rows(shard, values, splits or [shard.split] * len(values))


def _labelled_splits(rows: Sequence[_Rows]) -> set[SplitName | None]:
    """Return the splits that have images with labels: -1 says that an image has none."""
    return {
        split
        for part in rows
        for value, split in zip(part.values, part.splits, strict=True)
        if value != -1 or split in ("train", None)
    }


def _chosen(part: _Rows, trained: SplitName | None, tested: SplitName | None) -> NDArray[np.bool_]:
    used = {trained, tested} if tested else {trained}
    return np.array([split in used for split in part.splits], bool)


def _labels_of(
    values: Sequence[int | str], names: Sequence[str] | None, what: str
) -> tuple[Labels, tuple[str, ...]]:
    if isinstance(values[0], str):
        texts, labels = np.unique(np.array(values, object), return_inverse=True)
        return labels.astype(np.int64), tidy_names([str(text) for text in texts], what)
    try:
        return labels_of_numbers(np.array(values, np.int64), names, what)
    except OverflowError as error:
        raise UserError(f"{what} has labels that are too large.") from error


def _notes(splits: np.ndarray, is_chosen: NDArray[np.bool_]) -> tuple[str, ...]:
    left_out = int(np.count_nonzero(~is_chosen))
    if not left_out:
        return ()
    names = sorted({str(split or "other") for split in splits[~is_chosen]})
    return (f"The {left_out:,} images of {' and '.join(names)} were left out.",)


def _contents(
    shards: Sequence[Shard], columns: Columns, chosen: Sequence[NDArray[np.bool_]]
) -> Iterator[StoredImage]:
    """Read the pictures that are chosen, one at a time. One that is missing is empty."""
    for shard, keep in zip(shards, chosen, strict=True):
        if not keep.any():
            continue
        row = 0
        with _opened(shard.path) as file:
            for batch in file.iter_batches(_PICTURES, columns=[columns.image], use_threads=False):
                pictures = batch.column(0)
                if columns.is_struct:
                    pictures = pictures.field("bytes")
                for picture in pictures:
                    if keep[row]:
                        yield picture.as_py() or b""
                    row += 1


def _square(content: StoredImage, side: int) -> Pixels:
    """Return the centre of a picture as uint8 (3, side, side)."""
    return to_square(open_picture(bytes(content), shorter=2 * side), side)
