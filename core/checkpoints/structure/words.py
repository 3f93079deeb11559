"""Compares the words in tensor names: layers have other names elsewhere, and the same meaning."""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

_SYNONYMS = {
    "shortcut": ("downsample", "shortcut", "skip", "convshortcut", "conv_shortcut", "projection"),
    "linear": ("linear", "fc", "classifier", "head", "last_linear", "logits", "output"),
    "bn": ("bn", "norm", "batchnorm", "batch_norm"),
    "features": ("features", "feature"),
}
_MEANINGS = {word: meaning for meaning, words in _SYNONYMS.items() for word in words}
_NUMBERED = re.compile(r"(\D*)(\d+)(.*)", re.DOTALL)


class NumberedWord(NamedTuple):
    """A word of a name, such as "conv2_x". number: its first number, None without one."""

    start: str
    number: int | None
    end: str


def numbered(word: str) -> NumberedWord:
    """Split a word at its first number: "conv2_x" into "conv", 2 and "_x"."""
    match = _NUMBERED.fullmatch(word)
    if match is None:
        return NumberedWord(word, None, "")
    return NumberedWord(match[1], int(match[2]), match[3])


def meaning(name: str) -> str:
    """Return a name with each word replaced by what stands for its synonyms, in lower case.

    "layer2.0.downsample.0.weight" and "layer2.0.shortcut.0.weight" mean the same.
    """
    return ".".join(_word_meaning(word) for word in name.lower().split("."))


def partners_by_meaning(in_network: Iterable[str], in_file: Iterable[str]) -> dict[str, str]:
    """Pair names that are equal, and of the others those that mean the same and are unique in that.

    A word that begins all names of the file does not count. Returns names in the network -> names
    in the file, in the network's order.
    """
    network_names = list(in_network)
    file_names = list(in_file)
    equal = set(network_names) & set(file_names)
    ours = _unique_meanings(name for name in network_names if name not in equal)
    others = [name for name in file_names if name not in equal]
    theirs = _unique_meanings(others, len(common_words(others)) if not equal else 0)
    partners = {name: name for name in equal}
    for meaning_of_both in ours.keys() & theirs.keys():
        partners[ours[meaning_of_both]] = theirs[meaning_of_both]
    return {name: partners[name] for name in network_names if name in partners}


def common_words(names: Iterable[str]) -> list[str]:
    """Return the words that begin every name, without the last word of any."""
    split_names = [name.split(".")[:-1] for name in names]
    common: list[str] = []
    for words in zip(*split_names, strict=False):
        if len(set(words)) > 1:
            break
        common.append(words[0])
    return common


def _word_meaning(word: str) -> str:
    start, number, end = numbered(word)
    text = "" if number is None else str(number)
    return f"{_MEANINGS.get(start, start)}{text}{end}"


def _unique_meanings(names: Iterable[str], left_out: int = 0) -> Mapping[str, str]:
    """Return the names by their meanings without the first `left_out` words, if no other has it."""
    by_meaning: dict[str, str] = {}
    counts: Counter[str] = Counter()
    for name in names:
        key = ".".join(meaning(name).split(".")[left_out:])
        by_meaning[key] = name
        counts[key] += 1
    return {key: name for key, name in by_meaning.items() if counts[key] == 1}
