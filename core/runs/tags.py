"""Tags: short words on runs, by which people find them again.

A tag keeps its spelling. Two that differ in upper and lower case only are the same tag.
"""

import re
import unicodedata
from collections.abc import Iterable, Sequence

from core.errors import UserError

MOST_TAGS = 10
"""A run can have so many tags."""

_TAG_PATTERN = r"[\w.-]{1,30}"  # letters, digits, and the characters - _ and .

Tags = tuple[str, ...]


def check_tags(words: Iterable[str], name: str = "A tag") -> Tags:
    """Return the words as tags, each once, in the spelling that comes first.

    name: of the field, for the error. Raises UserError for a word that cannot be a tag, and for
    more than `MOST_TAGS`.
    """
    tags = _unique(unicodedata.normalize("NFC", word.strip()) for word in words)
    for tag in tags:
        if not is_tag(tag):
            raise UserError(
                f"{name} must be 1 to 30 letters, digits, “-”, “_” or “.”, got {tag[:60]!r}"
            )
    return _check_number(tags)


def is_tag(word: str) -> bool:
    """Whether the word can be a tag."""
    return re.fullmatch(_TAG_PATTERN, word) is not None


def change_tags(tags: Tags, add: Tags, remove: Tags) -> Tags:
    """Return the tags with those of `add` behind them, and without those of `remove`.

    Raises UserError if there would be more than `MOST_TAGS`.
    """
    removed = {tag.casefold() for tag in remove}
    kept = [tag for tag in _unique((*tags, *add)) if tag.casefold() not in removed]
    return _check_number(tuple(kept))


def has_tags(tags: Iterable[str], wanted: Iterable[str]) -> bool:
    """Whether all wanted tags are among `tags`."""
    return {tag.casefold() for tag in wanted} <= {tag.casefold() for tag in tags}


def all_tags(tags_of_runs: Iterable[Sequence[str]]) -> list[str]:
    """Return the tags of several runs, each once, in alphabetical order.

    Of several spellings the one that comes first is returned.
    """
    return sorted(_unique(tag for tags in tags_of_runs for tag in tags), key=str.casefold)


def _unique(tags: Iterable[str]) -> Tags:
    spellings: dict[str, str] = {}
    for tag in tags:
        spellings.setdefault(tag.casefold(), tag)
    return tuple(spellings.values())


def _check_number(tags: Tags) -> Tags:
    if len(tags) > MOST_TAGS:
        raise UserError(f"A run takes at most {MOST_TAGS} tags, got {len(tags)}.")
    return tags
