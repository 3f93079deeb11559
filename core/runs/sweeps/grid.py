"""Turns lists of settings into the recipes of every combination."""

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from core.config import (
    AffineRecipe,
    BudgetRecipe,
    KMeansRecipe,
    QuantizeRecipe,
    Recipe,
    TrainRecipe,
)
from core.config import validate_recipe as validate
from core.errors import UserError

Chain = tuple[Recipe, ...]
"""Recipes that are applied one after the other, each to the result of the one before it."""

Lists = Mapping[str, Sequence[Any]]
"""Values to try, by the path of a field, such as {"prune.density": [0.1, 0.05]}."""

MOST_CHAINS = 1000

# Slowest first. So the first picture is whole after one seed, and neighbours share their scores.
_OUTERMOST = ("seed", "model", "dataset")
_INNERMOST = ("prune.density",)


@dataclass(frozen=True)
class Grid:
    """Lists of settings, of which every combination is tried.

    train: settings of the training; None if a trained network is quantized. kmeans, affine:
    settings of the quantization that follows, in this order; None leaves it out. budget: settings
    of a budget that follows instead of it; None for none.
    names: the words that a person typed for a field, for errors; see `validate_recipe`.
    """

    train: Lists | None = None
    kmeans: Lists | None = None
    affine: Lists | None = None
    budget: Lists | None = None
    names: Mapping[str, str] = field(default_factory=dict)

    def chains(self) -> list[Chain]:
        """Return the recipes of all combinations, each combination once.

        A network of which everything is kept is dense, whatever the method. Quantization and budget
        take the seed of the training. Raises UserError for a value that a recipe does not take, for
        a budget beside clusters or bits, and for too many combinations.
        """
        if self.budget is not None and (self.kmeans or self.affine):
            raise UserError("A budget finds clusters and bits itself: give no list of them.")
        count = 1
        for lists in (self.train, self.kmeans, self.affine, self.budget):
            count *= combination_count(lists or {})
        if count > MOST_CHAINS:
            raise UserError(
                f"A sweep takes at most {MOST_CHAINS:,} combinations, and these lists have"
                f" {count:,}: make some of them shorter."
            )
        chains = self._chains()
        return list({tuple(map(_key, chain)): chain for chain in chains}.values())

    def _chains(self) -> Iterator[Chain]:
        for train in self._train_recipes():
            for kmeans in self._following(KMeansRecipe, self.kmeans, train):
                for affine in self._following(AffineRecipe, self.affine, train):
                    for budget in self._following(BudgetRecipe, self.budget, train):
                        yield (*train, *kmeans, *affine, *budget)

    def _train_recipes(self) -> Iterator[tuple[TrainRecipe, ...]]:
        if self.train is None:
            yield ()
            return
        for values in combinations(self.train):
            recipe = validate(TrainRecipe, values, dict(self.names))
            if recipe.density == 1:
                recipe = recipe.model_copy(update={"prune": None})
            yield (recipe,)

    def _following(
        self,
        recipe_type: type[QuantizeRecipe | BudgetRecipe],
        lists: Lists | None,
        train: tuple[TrainRecipe, ...],
    ) -> Iterator[tuple[QuantizeRecipe | BudgetRecipe, ...]]:
        """Yield every recipe of the lists, an empty tuple if there are none."""
        if lists is None:
            yield ()
            return
        seed = {"seed": train[0].seed} if train else {}
        for values in combinations(lists):
            yield (validate(recipe_type, seed | values, dict(self.names)),)


def _key(recipe: Recipe) -> str:
    return recipe.model_dump_json()


def combination_count(lists: Lists) -> int:
    """Return the number of combinations of these lists."""
    count = 1
    for values in lists.values():
        count *= len(set(values))
    return count


def combinations(lists: Lists) -> Iterator[dict[str, Any]]:
    """Yield the values of every combination, nested as the paths say."""
    names = sorted(lists, key=_place)
    for values in itertools.product(*(dict.fromkeys(lists[name]) for name in names)):
        yield _nested(zip(names, values, strict=True))


def _place(name: str) -> int:
    if name in _OUTERMOST:
        return _OUTERMOST.index(name) - len(_OUTERMOST)
    return 1 if name in _INNERMOST else 0


def _nested(values: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    nested: dict[str, Any] = {}
    for path, value in values:
        *outer, last = path.split(".")
        place = nested
        for name in outer:
            place = place.setdefault(name, {})
        place[last] = value
    return nested
