"""The best network of a sweep within each limit of bytes.

Half A of the test images chooses it, and half B reports its accuracy. A choice among many networks
favours those that were lucky on the images that choose, so other images have to report.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from core.config import BudgetRecipe
from core.runs.sweeps.budgets.fitted import FittedNetwork, fitted_networks
from core.runs.sweeps.sweep import Step, Sweep


@dataclass(frozen=True, order=True)
class SizeLimit:
    """A limit of the packed file's size.

    dataset: on which networks are compared. field: of the recipe, "bytes" or "smaller". value: of
    the field.
    """

    dataset: str
    field: str
    value: float

    def describe(self) -> str:
        """Return it in words, such as "100,000 bytes" or "1/8 of the float network's bytes"."""
        if self.field == "bytes":
            return f"{int(self.value):,} bytes"
        return f"1/{self.value:g} of the float network's bytes"

    def is_kept_by(self, made: FittedNetwork) -> bool:
        """Whether a network's file is within it, also if it was made for another limit."""
        float_bytes = made.summary.float_bytes or 0
        most = self.value if self.field == "bytes" else int(float_bytes / self.value)
        return made.summary.dataset == self.dataset and made.bytes <= most


@dataclass(frozen=True)
class BestWithin:
    """The best network within a limit.

    best: None while no network keeps the limit. compared: number of networks that keep it.
    too_large: number of networks of which no file is so small.
    """

    limit: SizeLimit
    best: FittedNetwork | None
    compared: int
    too_large: int

    def describe(self) -> str:
        """Say which network it is, how it was chosen, and how many could not fit."""
        text = self._describe_best()
        if self.too_large:
            networks = "1 network" if self.too_large == 1 else f"{self.too_large:,} networks"
            text += f" {networks} could not fit: even the smallest file is larger."
        return text

    def _describe_best(self) -> str:
        within = self.limit.describe()
        if self.best is None:
            return f"No network is within {within}."
        text = (
            f"Best within {within}: {self.best.name} in {self.best.bytes:,} bytes,"
            f" {self.best.describe_accuracy()}."
        )
        if self.compared > 1:
            text += f" It has the highest accuracy on half A of {self.compared:,} networks."
        return text

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON-ready plain data."""
        return {
            "dataset": self.limit.dataset,
            self.limit.field: self.limit.value,
            "run_id": None if self.best is None else self.best.run.id,
            "compared": self.compared,
            "too_large": self.too_large,
            "text": self.describe(),
        }


def best_within(sweep: Sweep) -> list[BestWithin]:
    """Return the best network within each limit of bytes on each data set.

    A limit of accuracy is left out: each run compares itself with a float network of its own.
    """
    fitted = fitted_networks(sweep)
    limits = [(_limit_of(steps), steps[-1]) for steps in sweep.members]
    too_large = Counter(limit for limit, step in limits if step.could_not_fit)
    answers = []
    for limit in sorted({limit for limit, _ in limits if limit is not None}):
        within = [made for made in fitted if limit.is_kept_by(made)]
        answers.append(BestWithin(limit, best_of_fitted(within), len(within), too_large[limit]))
    return answers


def best_of_fitted(fitted: Iterable[FittedNetwork]) -> FittedNetwork | None:
    """Return the network with the highest accuracy on half A, the smaller of equals.

    Half B plays no part. None if no network has an accuracy on half A.
    """
    judged = [made for made in fitted if made.summary.half_a_accuracy is not None]
    return max(
        judged,
        key=lambda made: (made.summary.half_a_accuracy or 0.0, -made.bytes),
        default=None,
    )


def _limit_of(steps: Sequence[Step]) -> SizeLimit | None:
    """Return the limit of bytes of a chain; None without one, or if the data set is not known."""
    recipe = steps[-1].recipe
    dataset = _dataset_of(steps)
    if not isinstance(recipe, BudgetRecipe) or dataset is None:
        return None
    if recipe.bytes is not None:
        return SizeLimit(dataset, "bytes", recipe.bytes)
    return None if recipe.smaller is None else SizeLimit(dataset, "smaller", recipe.smaller)


def _dataset_of(steps: Sequence[Step]) -> str | None:
    """Return the data set of a chain, which the run has if the sweep trains nothing."""
    trained: str | None = getattr(steps[0].recipe, "dataset", None)
    run = steps[-1].run
    return trained if run is None else run.dataset
