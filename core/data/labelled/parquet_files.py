"""Find the Parquet files of a data set and the split that each belongs to, by their names.

The rules are those of Hugging Face: https://huggingface.co/docs/hub/datasets-file-names-and-splits
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from core.errors import UserError

SplitName = Literal["train", "validation", "test"]

_WORDS: dict[SplitName, tuple[str, ...]] = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SPLIT_OF_WORD = {word: split for split, words in _WORDS.items() for word in words}
_DELIMITERS = re.compile(r"[-._ 0-9]+")
_MAX_FILES = 10_000


@dataclass(frozen=True)
class Shard:
    """A Parquet file. split: None if its name does not say."""

    path: Path
    split: SplitName | None


def find_shards(sources: Sequence[Path]) -> list[Shard]:
    """Return the Parquet files among or in `sources`, sorted by their paths.

    sources: files, or one folder. The name of a file decides on its split, then the names of the
    folders in a folder, from the inside outwards. Raises UserError if there are too many.
    """
    shards = []
    for source in sources:
        if source.is_dir():
            paths = parquet_files_in(source)
            shards += [
                Shard(path, _split_of_parts(path.relative_to(source).parts)) for path in paths
            ]
        else:
            shards.append(Shard(source, split_of_word(source.stem)))
    if len(shards) > _MAX_FILES:
        raise UserError(f"There are {len(shards):,} Parquet files: up to {_MAX_FILES:,} are taken.")
    return shards


def parquet_files_in(folder: Path) -> list[Path]:
    """Return the Parquet files in a folder and its folders, sorted, without hidden ones."""
    paths = []
    for place, folder_names, file_names in os.walk(folder):
        folder_names[:] = [name for name in folder_names if not name.startswith(".")]
        for name in file_names:
            if name.lower().endswith(".parquet") and not name.startswith("."):
                paths.append(Path(place, name))
    return sorted(path for path in paths if path.is_file())


def split_of_word(name: str) -> SplitName | None:
    """Return the split that a name holds as a word of its own, as "train-00000-of-00002" does."""
    for word in _DELIMITERS.split(name.lower()):
        if word in _SPLIT_OF_WORD:
            return _SPLIT_OF_WORD[word]
    return None


def _split_of_parts(parts: Sequence[str]) -> SplitName | None:
    names = [Path(parts[-1]).stem, *reversed(parts[:-1])]
    return next((split for name in names if (split := split_of_word(name))), None)


def choose_splits(
    splits: Iterable[SplitName | None],
) -> tuple[SplitName | None, SplitName | None]:
    """Return which split the training and which the test images come from.

    The second is None if a part of the first is to be held out. The first is None if no split has a
    name: then all images are taken.
    """
    present = set(splits)
    if "train" not in present:
        only = next((split for split in ("validation", "test") if split in present), None)
        return only, None
    tested = next((split for split in ("test", "validation") if split in present), None)
    return "train", tested
