"""The networks of a sweep that were fitted into a budget."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.accuracy import guessing_text, interval_text
from core.config import BudgetRecipe
from core.events import Summary
from core.models.outside.files import plain_name
from core.runs.comparison.settings import DENSITY, settings_of
from core.runs.run import Run
from core.runs.sweeps.sweep import Step, Sweep


@dataclass(frozen=True)
class FittedNetwork:
    """A network that a finished budget run made.

    density: fraction of the weights that its training kept, or that it has itself if the sweep
    trained nothing, in (0, 1]. summary: of the run, with bytes and accuracies.
    """

    run: Run
    density: float
    summary: Summary

    @property
    def bytes(self) -> int:
        """The size of its packed file."""
        return self.summary.packed_bytes or 0

    @property
    def name(self) -> str:
        """Its network and density, such as "ResNet8 at 50%" or "dense ResNet8"."""
        model = plain_name(self.summary.model)
        return f"dense {model}" if self.density == 1 else f"{model} at {100 * self.density:.3g}%"

    def describe_accuracy(self) -> str:
        """Return the accuracy on half B, with its 95% interval and its number of images."""
        accuracy = self.summary.test_accuracy
        images = self.summary.test_images or 1
        interval = interval_text(accuracy, images)
        text = f"{accuracy:.2%} ({interval}) on half B of the test images ({images:,})"
        if self.summary.guessing and self.summary.classes:
            text += f", {guessing_text(self.summary.classes)}"
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return its figures as JSON-ready plain data."""
        return {
            "run_id": self.run.id,
            "model": self.summary.model,
            "dataset": self.summary.dataset,
            "density": self.density,
            "packed_bytes": self.bytes,
            "half_a_accuracy": self.summary.half_a_accuracy,
            "test_accuracy": self.summary.test_accuracy,
            "test_half": self.summary.test_half,
            "test_images": self.summary.test_images,
        }


def fitted_networks(sweep: Sweep) -> list[FittedNetwork]:
    """Return the networks of the finished budget runs, in the order of the sweep."""
    fitted = []
    for steps in sweep.members:
        run = steps[-1].run
        if run is None or run.state != "finished" or not is_budget(steps):
            continue
        summary = run.status.summary
        if summary is not None and summary.packed_bytes is not None and summary.test_images:
            fitted.append(FittedNetwork(run, _density_of(steps, summary), summary))
    return fitted


def fitted_lines(fitted: Iterable[FittedNetwork]) -> list[str]:
    """Return a table with a line for each network: its bytes, its accuracies and its name."""
    rows = list(fitted)
    if not rows:
        return []
    lines = ["     bytes  half A  half B  network"]
    for made in rows:
        half_a = made.summary.half_a_accuracy
        first = "—" if half_a is None else f"{half_a:.2%}"
        second = f"{made.summary.test_accuracy:.2%}"
        lines.append(f"{made.bytes:>10,} {first:>7} {second:>7}  {made.run.name}")
    return lines


def is_budget(steps: Sequence[Step]) -> bool:
    """Whether a chain ends with a budget."""
    return isinstance(steps[-1].recipe, BudgetRecipe)


def _density_of(steps: Sequence[Step], summary: Summary) -> float:
    density = settings_of(step.recipe for step in steps).get(DENSITY)
    return density if isinstance(density, float) else summary.density
