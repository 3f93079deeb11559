"""Forecasts what a sweep takes: how many runs, how long, and how much disk."""

from collections.abc import Generator, MutableMapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from core.config import BudgetRecipe, Recipe, TrainRecipe
from core.events import Event

EpochSeconds = MutableMapping[TrainRecipe, float]
"""Seconds of an epoch by the settings that decide them."""

_FLOAT_BYTES = 4
_NETWORKS_OF_A_TRAINING = 4
"""Files of about the size of the network in float: its first, last and best weights, and packed."""
_NETWORKS_OF_A_QUANTIZATION = 1.3
_PACE_SECONDS = 3.0
_SECONDS_A_MINUTE = 60
_MEGABYTE = 1_000_000
_AT_HAND = ("ready", "bundled")


@dataclass(frozen=True)
class SweepForecast:
    """What the runs of a sweep take. Time and disk are estimates.

    trainings, quantizations, budgets: numbers of runs. training_seconds: time of the trainings on
    this machine, None if a data set is not prepared yet. disk_bytes: of trained networks and of
    what is made from them. budget_seconds: time of the searches, without the tests of their results
    and without those that do a given amount of work, whose time is not known.
    """

    trainings: int
    quantizations: int
    training_seconds: float | None
    disk_bytes: int
    budgets: int = 0
    budget_seconds: float = 0.0

    @property
    def runs(self) -> int:
        return self.trainings + self.quantizations + self.budgets

    def describe(self) -> str:
        """Say it in a few sentences."""
        runs = "1 run" if self.runs == 1 else f"{self.runs:,} runs"
        text = f"{runs}: {self.trainings:,} trained, {self.quantizations:,} quantized"
        text += f", {self.budgets:,} fitted into a budget." if self.budgets else "."
        if self.training_seconds:
            text += f" Training takes about {_in_words(self.training_seconds)} here."
        if self.budget_seconds:
            text += f" The searches take {_in_words(self.budget_seconds)}, and tests come on top."
        if self.disk_bytes:
            text += f" The files take about {max(1, round(self.disk_bytes / _MEGABYTE)):,} MB."
        return text


def forecast(
    recipes: Sequence[Recipe], root: Path, known: EpochSeconds | None = None
) -> Generator[Event, None, SweepForecast]:
    """Time a few training steps of each kind of network; yields Progress.

    recipes: one for each run. root: the folder of the data sets. known: the seconds of an epoch
    that were measured before, to which new ones are added.
    """
    trainings = [recipe for recipe in recipes if isinstance(recipe, TrainRecipe)]
    budgets = [recipe for recipe in recipes if isinstance(recipe, BudgetRecipe)]
    made_from_them = len(recipes) - len(trainings)
    seconds = yield from _training_seconds(trainings, root, {} if known is None else known)
    disk_bytes = sum(_training_bytes(recipe) for recipe in trainings)
    largest = max((_bytes_of_network(recipe.model) for recipe in trainings), default=0)
    disk_bytes += round(_NETWORKS_OF_A_QUANTIZATION * made_from_them * largest)
    return SweepForecast(
        len(trainings),
        made_from_them - len(budgets),
        seconds,
        disk_bytes,
        len(budgets),
        _SECONDS_A_MINUTE * sum(recipe.minutes for recipe in budgets if not recipe.is_counted),
    )


def is_measured(recipes: Sequence[Recipe], known: EpochSeconds) -> bool:
    """Whether `forecast` needs to time nothing more for these recipes."""
    return all(_kind(recipe) in known for recipe in recipes if isinstance(recipe, TrainRecipe))


def _training_seconds(
    recipes: Sequence[TrainRecipe], root: Path, known: EpochSeconds
) -> Generator[Event, None, float | None]:
    """Yield Progress, and return the time of all these trainings; None if it is not known."""
    from core import data
    from core.forecast.pace import measure_pace

    prepared = {choice.name for choice in data.available(root) if choice.state in _AT_HAND}
    total = 0.0
    for recipe in recipes:
        if recipe.dataset not in prepared:
            return None
        kind = _kind(recipe)
        if kind not in known:
            dataset = data.load(recipe.dataset, root)
            pace = yield from measure_pace(kind, dataset, _PACE_SECONDS)
            known[kind] = pace.epoch_seconds
        total += recipe.epochs * known[kind]
    return total


def _kind(recipe: TrainRecipe) -> TrainRecipe:
    """The recipe with only those settings that decide how long an epoch takes."""
    fields = ("model", "dataset", "batch_size", "train_images", "validation", "precision", "device")
    return TrainRecipe(prune=None, **{name: getattr(recipe, name) for name in fields})


def _training_bytes(recipe: TrainRecipe) -> int:
    kept_epochs = recipe.epochs // recipe.keep_every if recipe.keep_every else 0
    network = _bytes_of_network(recipe.model)
    kept = min(kept_epochs * network, recipe.keep_mb * _MEGABYTE)
    return _NETWORKS_OF_A_TRAINING * network + kept


@cache
def _bytes_of_network(name: str) -> int:
    """The size of a network for ten classes in float."""
    from core.models import build
    from core.models.meta import AllocateOnMeta

    with AllocateOnMeta():
        network = build(name, 10)
    return _FLOAT_BYTES * sum(tensor.numel() for tensor in network.state_dict().values())


def _in_words(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} seconds"
    if seconds < 5400:
        return f"{seconds / 60:.0f} minutes"
    return f"{seconds / 3600:.1f} hours"
