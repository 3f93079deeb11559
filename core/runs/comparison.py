"""Prepares runs for a comparison: their names, ancestors, figures and differences.

Nothing here reads a list of runs again: the caller has read all of them once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core import data
from core.runs.figures import Figures, figures_of
from core.runs.run import Run
from core.runs.settings import METHOD, Settings, Value, differing, label_of, settings_of
from core.runs.store import describe_recipe

KINDS = {"train": "trained", "import": "imported", "kmeans": "clusters", "affine": "bits"}
"""How a run's network was made, in one word, by the kind of its recipe."""

_TELLING = frozenset({METHOD, "kmeans.clusters", "affine.bits", "import.file"})
_MOST_DIFFERENCES = 6  # in one line of text
_LEAST_CHANGE = 0.005  # percentage points that two decimals can show
_LEAST_RATIO = 1.05  # of two sizes, that one decimal can show


@dataclass(frozen=True)
class ComparedRun:
    """A run in a comparison.

    name: the run's name, with the id if another one has the same name. lineage: its ancestors, the
    first one first, and the run itself. figures: what is compared.
    """

    run: Run
    name: str
    lineage: tuple[Run, ...]
    figures: Figures

    @property
    def id(self) -> str:
        return self.run.id

    @property
    def kind(self) -> str:
        """How its network was made, in one word of `KINDS`."""
        return KINDS[self.run.recipe.kind]

    @property
    def parent(self) -> Run | None:
        """The run that it was made from; None if there is none, or if it was deleted."""
        return self.lineage[-2] if len(self.lineage) > 1 else None

    @property
    def recipe_text(self) -> str:
        """Its own recipe in a few words, such as "LeNet5 · Digits · 5% kept" or "5 clusters"."""
        return describe_recipe(self.run.recipe)

    @property
    def settings(self) -> dict[str, Value]:
        """The settings of all its recipes by name, as in `core.runs.settings`."""
        return settings_of(run.recipe for run in self.lineage)


def compared_runs(
    runs: Sequence[Run],
    runs_by_id: Mapping[str, Run],
    macs: Mapping[str, float | None] | None = None,
    infos: Mapping[str, data.DatasetInfo] = data.DATASETS,
) -> list[ComparedRun]:
    """Return the runs for a comparison, in the same order.

    runs_by_id: all runs, for the ancestors and for names that occur twice. macs: the multiply-adds
    of runs, by id, if wanted. infos: the data sets by name.
    """
    names = unique_names(runs_by_id.values())
    macs = macs or {}
    return [
        ComparedRun(
            run,
            names[run.id],
            lineage_of(run, runs_by_id),
            figures_of(run, macs.get(run.id), infos),
        )
        for run in runs
    ]


def lineage_of(run: Run, runs_by_id: Mapping[str, Run]) -> tuple[Run, ...]:
    """Return the run's ancestors, the first one first, and the run itself.

    Ancestors before one that is missing are left out, and so is one that is its own ancestor.
    """
    chain = [run]
    ids = {run.id}
    while (parent := runs_by_id.get(chain[0].config.parent or "")) and parent.id not in ids:
        chain.insert(0, parent)
        ids.add(parent.id)
    return tuple(chain)


def unique_names(runs: Iterable[Run]) -> dict[str, str]:
    """Return the names of runs by id. Equal names get the id behind them.

    So does a name that is equal to another one with its id.
    """
    runs = list(runs)
    names = {run.id: run.name for run in runs}
    while len(set(names.values())) < len(names):
        counts = Counter(names.values())
        names |= {run.id: f"{run.name} ({run.id})" for run in runs if counts[names[run.id]] > 1}
    return names


def with_ancestors(runs: Iterable[ComparedRun]) -> list[Run]:
    """Return the runs and all their ancestors, each once, the oldest first."""
    family = {member.id: member for run in runs for member in run.lineage}
    return sorted(family.values(), key=lambda run: run.config.created)


def method_of(lineage: Iterable[Run]) -> str | None:
    """Return the pruning method of a run or of its ancestor; None if nothing was pruned here."""
    method = settings_of(run.recipe for run in lineage).get(METHOD)
    return None if method is None else str(method)


# -- differences --


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
    return change_text(run.figures, figures_of(run.parent)) or "not known"
