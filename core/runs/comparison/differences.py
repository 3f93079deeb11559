"""Says in what runs differ: in their settings, and in figures against their parent."""

from collections.abc import Sequence
from dataclasses import replace

from core.runs.comparison.compared import KINDS, ComparedRun
from core.runs.comparison.figures import Figures, figures_of
from core.runs.comparison.settings import (
    METHOD,
    TRAINED_METHOD,
    Settings,
    Value,
    differing,
    label_of,
)
from core.runs.run import Run

_TELLING = frozenset(
    {METHOD, TRAINED_METHOD, "prune.density", "kmeans.clusters", "affine.bits", "import.file"}
)
_MOST_DIFFERENCES = 6  # in one line of text
_LEAST_CHANGE = 0.005  # percentage points that two decimals can show
_LEAST_RATIO = 1.05  # of two sizes, that one decimal can show


def setting_labels(names: Sequence[str]) -> dict[str, str]:
    """Return the words for settings. Equal words get the kind of the recipe behind them."""
    words = [label_of(name) for name in names]
    labels = {}
    for name, label in zip(names, words, strict=True):
        kind = KINDS[name.partition(".")[0]]
        labels[name] = f"{label} ({kind})" if words.count(label) > 1 else label
    return labels


def telling_settings(runs: Sequence[Settings]) -> list[str]:
    """Return the names of the settings that tell runs apart, in the order of the recipes.

    A setting of a step that only some runs have, and that is the same in all of these, is left out:
    of a step, the pruning's method, the clusters or the bits say enough.
    """
    names = []
    for name in differing(runs):
        values = {settings[name] for settings in runs if name in settings}
        if len(values) > 1 or name in _TELLING:
            names.append(name)
    return names


def difference_texts(runs: Sequence[ComparedRun]) -> dict[str, str]:
    """Return the settings of each run in which the runs differ, as one line of text, by id."""
    settings = {run.id: run.settings for run in runs}
    names = telling_settings(list(settings.values()))
    labels = setting_labels(names)
    texts = {}
    for run_id, values in settings.items():
        parts = [f"{labels[name]}: {value_text(values[name])}" for name in names if name in values]
        more = len(parts) - _MOST_DIFFERENCES
        texts[run_id] = ", ".join(parts[:_MOST_DIFFERENCES]) + (
            f", {more} more" if more > 0 else ""
        )
    return texts


def value_text(value: Value) -> str:
    """Return a setting as text. None is a dash."""
    match value:
        case None:
            return "—"
        case bool():
            return "yes" if value else "no"
        case float():
            return f"{value:g}"
        case _:
            return str(value)


def change_text(figures: Figures, before: Figures) -> str:
    """Say how figures changed, such as "−0.56 points, 5.2 times smaller"; "" if not known."""
    parts = []
    if figures.accuracy is not None and before.accuracy is not None:
        points = 100 * (figures.accuracy - before.accuracy)
        is_same = abs(points) < _LEAST_CHANGE
        parts.append("same accuracy" if is_same else f"{points:+.2f} points".replace("-", "−"))
    if figures.bytes and before.bytes:
        is_smaller = figures.bytes <= before.bytes
        ratio = before.bytes / figures.bytes if is_smaller else figures.bytes / before.bytes
        word = "smaller" if is_smaller else "larger"
        parts.append("same size" if ratio < _LEAST_RATIO else f"{ratio:.1f} times {word}")
    return ", ".join(parts)


def change_against_parent(run: ComparedRun) -> str:
    """Say how accuracy and size changed from the parent to the run; "no parent" without one."""
    if run.parent is None:
        return "no parent"
    return change_text(run.figures, _figures_before(run.run, run.parent)) or "not known"


def _figures_before(run: Run, parent: Run) -> Figures:
    """Return the parent's figures, with an accuracy on the test images of the run's accuracy.

    Where one of the two accuracies is of a half of the test images, the parent's is the one that
    the run itself measured.
    """
    before = figures_of(parent)
    if not _is_of_a_half(run) and not _is_of_a_half(parent):
        return before
    summary = run.status.summary
    return replace(before, accuracy=None if summary is None else summary.parent_accuracy)


def _is_of_a_half(run: Run) -> bool:
    summary = run.status.summary
    return summary is not None and summary.test_half is not None
