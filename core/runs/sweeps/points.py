"""The figures of a sweep's results, one row a combination, and how long the rest will take."""

from collections.abc import Sequence
from dataclasses import dataclass

from core.accuracy import is_guessing
from core.config import BudgetRecipe, Recipe, TrainRecipe
from core.runs.comparison.settings import (
    DENSITY,
    METHOD,
    SEED,
    Settings,
    Value,
    differing,
    settings_of,
)
from core.runs.run import Run
from core.runs.sweeps.sweep import Step, Sweep

_SEEDS = (SEED, "kmeans.seed", "affine.seed", "budget.seed")
# Where several numbers differ, the first of these is along the chart.
_AXES = (DENSITY, "kmeans.clusters", "affine.bits", "train.lr")
_SECONDS_A_MINUTE = 60


@dataclass(frozen=True)
class Point:
    """The result of one combination.

    settings: those of all its recipes. accuracy: of the last network on the test images, in [0, 1].
    """

    run: Run
    settings: Settings
    accuracy: float
    is_guessing: bool


def points_of(sweep: Sweep) -> list[Point]:
    """Return the combinations that are finished, in the order of the sweep."""
    points = []
    for steps in sweep.members:
        run = steps[-1].run
        summary = None if run is None else run.status.summary
        if run is None or summary is None or run.state != "finished":
            continue
        guessing = bool(summary.test_images and summary.classes) and is_guessing(
            summary.test_accuracy, summary.test_images or 1, summary.classes or 1
        )
        settings = settings_of(step.recipe for step in steps)
        points.append(Point(run, settings, summary.test_accuracy, guessing))
    return points


def without_budgets(points: Sequence[Point]) -> list[Point]:
    """Return the points whose accuracy is that of all test images.

    Budgets report one half of them, and have a picture of their own; see
    `core.runs.sweeps.fitted`.
    """
    return [point for point in points if point.run.recipe.kind != "budget"]


@dataclass(frozen=True)
class Axes:
    """What a chart of a sweep shows.

    along: the setting along the chart, None if no number differs. lines: the settings that tell
    the lines apart. Seeds are neither: they are the points of a line at one place.
    span: the least and the greatest value along the chart. line_values: the values of `lines` of
    every line, also of those that have no point yet, so that a growing chart keeps its colours.
    """

    along: str | None
    lines: tuple[str, ...]
    span: tuple[float, float] | None = None
    line_values: tuple[tuple[Value, ...], ...] = ()


def axes_of(sweep: Sweep) -> Axes:
    """Choose the axes from the settings in which the combinations differ."""
    drawn = [steps for steps in sweep.members if steps[-1].recipe.kind != "budget"]
    members = drawn or sweep.members
    everything = [settings_of(step.recipe for step in steps) for steps in members]
    numbers = [
        name
        for name in differing(everything)
        if name not in _SEEDS and _is_number(name, everything)
    ]
    preferred = [name for name in _AXES if name in numbers]
    along = next(iter(preferred or numbers), None)
    # A dense network has no settings of the pruning, so it says nothing about the lines.
    pruned = [settings for settings in everything if METHOD in settings]
    names = differing(pruned or everything)
    lines = tuple(name for name in names if name != along and name not in _SEEDS)
    values = [tuple(settings.get(name) for name in lines) for settings in pruned or everything]
    return Axes(along, lines, _span(along, everything), tuple(dict.fromkeys(values)))


def _span(along: str | None, everything: Sequence[Settings]) -> tuple[float, float] | None:
    if along is None:
        return None
    values = [settings[along] for settings in everything if settings.get(along) is not None]
    numbers = [float(value) for value in values if value is not None]
    return min(numbers), max(numbers)


def lines_of(point: Point, axes: Axes) -> list[tuple[Value, ...]]:
    """Return the lines that a point is on, each as its values of `axes.lines`.

    A dense network is on every line that differs from it only in the pruning.
    """
    own = tuple(point.settings.get(name) for name in axes.lines)
    if METHOD in point.settings:
        return [own]
    fixed = [place for place, name in enumerate(axes.lines) if not _is_pruning(name)]
    lines = [line for line in axes.line_values if all(line[place] == own[place] for place in fixed)]
    return lines or [own]


def seconds_left(sweep: Sweep) -> float | None:
    """Estimate the time until the sweep is done, in seconds; None while nothing tells.

    A run is taken to be as long as the finished ones of its kind, of the same network and data set
    if there are any.
    """
    usual = _UsualSeconds(sweep)
    left = 0.0
    for steps in sweep.members:
        first = steps[0].recipe
        for step in steps:
            if step.is_finished or _has_ended(step.run) or step.run_id in usual.counted:
                continue
            usual.counted.add(step.run_id)
            seconds = usual.of(step, first)
            if seconds is None:
                return None
            progress = step.run.status.progress if step.run is not None else 0.0
            left += seconds * (1 - progress)
    return left


class _UsualSeconds:
    """The mean times of the finished runs of a sweep.

    counted: the ids of runs whose time is added up already.
    """

    def __init__(self, sweep: Sweep) -> None:
        self.counted: set[str] = set()
        self._times: dict[tuple[str, ...], list[float]] = {}
        for steps in sweep.members:
            for step in steps:
                if step.is_finished and step.run is not None and step.run_id not in self.counted:
                    self.counted.add(step.run_id)
                    self._add(step, steps[0].recipe, _worked_seconds(step.run))

    def of(self, step: Step, first: Recipe) -> float | None:
        """The usual time of a step, None if no run of its kind is finished. first: of its chain.

        Until then, a budget is taken to need its minutes.
        """
        for key in (_kind(step, first), (step.recipe.kind,)):
            times = self._times.get(key)
            if times:
                return sum(times) / len(times)
        if isinstance(step.recipe, BudgetRecipe):
            return _SECONDS_A_MINUTE * step.recipe.minutes
        return None

    def _add(self, step: Step, first: Recipe, seconds: float) -> None:
        for key in (_kind(step, first), (step.recipe.kind,)):
            self._times.setdefault(key, []).append(seconds)


def _kind(step: Step, first: Recipe) -> tuple[str, ...]:
    if isinstance(first, TrainRecipe):
        epochs = str(step.recipe.epochs)
        return (step.recipe.kind, first.model, first.dataset, epochs, str(first.train_images))
    return (step.recipe.kind, str(step.recipe.epochs))


def _worked_seconds(run: Run) -> float:
    """The time of a finished run. That of one that was resumed is at least its training."""
    status = run.status
    trained = status.summary.train_seconds if status.summary else 0.0
    return max(trained, status.updated_at - status.started_at)


def _has_ended(run: Run | None) -> bool:
    return run is not None and run.state in ("failed", "cancelled")


def _is_pruning(name: str) -> bool:
    return name.startswith("train.prune.")


def _is_number(name: str, all_settings: Sequence[Settings]) -> bool:
    values = [settings.get(name) for settings in all_settings if settings.get(name) is not None]
    return all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
