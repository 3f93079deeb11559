"""Prepares runs for a comparison: their names, ancestors and figures.

Nothing here reads a list of runs again: the caller has read all of them once.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from core import data
from core.config import PruneRecipe, Recipe, TrainRecipe
from core.runs.comparison.figures import Figures, figures_of
from core.runs.comparison.settings import Value, settings_of
from core.runs.run import Run
from core.runs.store import describe_recipe

KINDS = {
    "train": "trained",
    "import": "imported",
    "prune": "pruned",
    "kmeans": "clusters",
    "affine": "bits",
    "budget": "budget",
    "int8": "integers",
}
"""How a run's network was made, in one word, by the kind of its recipe."""


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
        """The settings of all its recipes by name, as in `settings_of`."""
        return settings_of(run.recipe for run in self.lineage)


def compared_runs(
    runs: Sequence[Run],
    runs_by_id: Mapping[str, Run],
    macs: Mapping[str, float | None] | None = None,
    infos: Mapping[str, data.DatasetInfo] = data.DATASETS,
    latencies: Mapping[str, Mapping[int, float]] | None = None,
) -> list[ComparedRun]:
    """Return the runs for a comparison, in the same order.

    runs_by_id: all runs, for the ancestors and for names that occur twice. macs: the multiply-adds
    of runs, by id, if wanted. infos: the data sets by name. latencies: as `latency_figures` of
    `core.runs.latency` returns them, if wanted.
    """
    names = unique_names(runs_by_id.values())
    macs = macs or {}
    latencies = latencies or {}
    return [
        ComparedRun(
            run,
            names[run.id],
            lineage_of(run, runs_by_id),
            figures_of(run, macs.get(run.id), infos, latencies.get(run.id)),
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


def can_be_compared(run: Run) -> bool:
    """Whether the run has figures, or will have them soon."""
    return run.state == "finished" or run.active


def near_family(run: Run, runs: Iterable[Run]) -> list[Run]:
    """Return the run's parent, the run itself, and what was made from it, the oldest first.

    runs: those to search, and to return the members of.
    """
    members = [
        other
        for other in runs
        if run.id in (other.id, other.config.parent) or other.id == run.config.parent
    ]
    return sorted(members, key=lambda member: member.config.created)


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
    """Return the pruning method of a run or of its ancestor; None if nothing was pruned here.

    The last pruning counts.
    """
    methods = [_method(run.recipe) for run in lineage]
    return next((method for method in reversed(methods) if method is not None), None)


def _method(recipe: Recipe) -> str | None:
    if isinstance(recipe, PruneRecipe):
        return recipe.method
    pruning = recipe.prune if isinstance(recipe, TrainRecipe) else None
    return None if pruning is None else pruning.method
