"""The lists of settings that a sweep takes, as flags: typed ones to a `Grid`, and back."""

import argparse
import shlex
from collections.abc import Container
from typing import Any

from core.commands.budget import BUDGET_FLAGS, names_of_kinds
from core.commands.flags import add_field_flag, typed_values
from core.commands.terminal import Parser
from core.commands.train import TRAIN_FLAGS
from core.commands.train_flags import add_prune_type_flag, yes_or_no
from core.config import AffineRecipe, BudgetRecipe, KMeansRecipe, Prune, TrainRecipe
from core.errors import UserError
from core.models import model_info
from core.runs.sweeps.grid import MOST_CHAINS, Grid

PROGRAM = "python -m core sweep"
_UNTYPED: dict[str, list[Any]] = {"keep_every": [0]}
"""What a sweep takes for a setting that is not typed, where that differs from the recipe's."""
_KMEANS_FLAGS = {"clusters": "--clusters", "init": "--init"}
_AFFINE_FLAGS = {"bits": "--bits", "range": "--range"}
_BOTH_FLAGS = {"rounding": "--rounding", "epochs": "--tuneepochs"}
_LIMIT_FLAGS = {name: BUDGET_FLAGS[name] for name in ("bytes", "smaller", "lose")}
_BUDGET_WORK_FLAGS = {name: BUDGET_FLAGS[name] for name in ("minutes", "kinds", "images", "trials")}
_TUNING_FLAGS = {"tuning_epochs": _BOTH_FLAGS["epochs"]}
SWEEP_NAMES = (
    TRAIN_FLAGS
    | _KMEANS_FLAGS
    | _AFFINE_FLAGS
    | {"rounding": "--rounding"}
    | _LIMIT_FLAGS
    | _BUDGET_WORK_FLAGS
    | _TUNING_FLAGS
)
"""The flags of the fields of all recipes of a sweep."""

COMPRESSION_FLAGS = "--clusters, --bits or one of --bytes, --smaller and --lose"


def add_lists(parser: Parser) -> None:
    """Add the flag of each setting, which takes several values."""
    for name, flag in TRAIN_FLAGS.items():
        field = name.removeprefix("prune.")
        recipe_type = Prune if name.startswith("prune.") else TrainRecipe
        if name == "prune.layerwise":
            add_prune_type_flag(parser, nargs="+")
        elif field == "augment":
            add_field_flag(
                parser, recipe_type, field, flag, action="store", type=yes_or_no, nargs="+"
            )
        else:
            add_field_flag(parser, recipe_type, field, flag, nargs="+")
    for name, flag in (_KMEANS_FLAGS | _BOTH_FLAGS).items():
        add_field_flag(parser, KMeansRecipe, name, flag, nargs="+")
    for name, flag in _AFFINE_FLAGS.items():
        add_field_flag(parser, AffineRecipe, name, flag, nargs="+")
    for name, flag in (_LIMIT_FLAGS | _BUDGET_WORK_FLAGS).items():
        special: dict[str, Any] = _KINDS_FLAG if name == "kinds" else {}
        add_field_flag(parser, BudgetRecipe, name, flag, **({"nargs": "+"} | special))


def _kinds(text: str) -> tuple[str, ...]:
    """Parse one value of --kinds, such as share,round."""
    return tuple(text.split(","))


_KINDS_FLAG: dict[str, Any] = {
    "type": _kinds,
    "metavar": "KIND,KIND",
    "help": (
        "what a layer may get under a budget: some of share, round and prune with commas between"
        " them, such as share,round; several such lists are tried one after the other"
    ),
}


def grid_of(options: argparse.Namespace) -> Grid:
    """Return the lists that were typed. Raises UserError for flags that do not go together."""
    train = typed_values(options, TRAIN_FLAGS)
    if options.seeds is not None:
        if "seed" in train:
            raise UserError("--seeds and --seed exclude each other")
        if not 1 <= options.seeds <= MOST_CHAINS:
            raise UserError(f"--seeds must be in [1, {MOST_CHAINS}], got {options.seeds}")
        if options.parent is not None:
            raise UserError("--parent and --seeds exclude each other: nothing is trained")
        train["seed"] = range(options.seeds)
    kmeans = typed_values(options, _KMEANS_FLAGS)
    affine = typed_values(options, _AFFINE_FLAGS)
    both = typed_values(options, _BOTH_FLAGS)
    if options.parent is None:
        if "model" in train:
            train["model"] = [model_info(name, "--model").name for name in train["model"]]
        # The weights of every epoch of every run would fill the disk.
        train = _UNTYPED | train
        lists: dict[str, Any] | None = train
    else:
        if train:
            flag = TRAIN_FLAGS[next(iter(train))]
            raise UserError(f"--parent and {flag} exclude each other: nothing is trained")
        lists = None
    budget = _budget_lists(options)
    if budget is not None:
        if kmeans or affine or "rounding" in both:
            raise UserError(
                f"{_typed_limits(budget)} excludes --clusters, --bits and --rounding: a budget"
                " finds clusters and bits itself"
            )
        names = SWEEP_NAMES
        for kinds in budget.get("kinds", ()):
            names = names | names_of_kinds(kinds)
        return Grid(lists, budget=budget, names=names)
    if both and not kmeans and not affine:
        flag = _BOTH_FLAGS[next(iter(both))]
        raise UserError(f"{flag} needs --clusters or --bits")
    return Grid(
        lists,
        kmeans | both if kmeans else None,
        # On top of clusters, the centroids are rounded to bits, without any images.
        affine | ({} if kmeans else both) if affine else None,
        names=SWEEP_NAMES,
    )


def _budget_lists(options: argparse.Namespace) -> dict[str, Any] | None:
    """Return the lists of a budget, None if no limit was typed. Raises UserError."""
    limits = typed_values(options, _LIMIT_FLAGS)
    work = typed_values(options, _BUDGET_WORK_FLAGS)
    words = ", ".join(_LIMIT_FLAGS.values())
    if len(limits) > 1:
        raise UserError(f"one of {words} must be given, got {_typed_limits(limits)}")
    if not limits:
        if work:
            raise UserError(f"{_BUDGET_WORK_FLAGS[next(iter(work))]} needs one of {words}")
        return None
    return limits | work | typed_values(options, _TUNING_FLAGS)


def _typed_limits(limits: Container[str]) -> str:
    return " and ".join(flag for name, flag in _LIMIT_FLAGS.items() if name in limits)


def sweep_command(grid: Grid, parent: str | None) -> str:
    """Return the command line that runs these lists. parent: see `SweepStore.create`."""
    words = [PROGRAM]
    if parent is not None:
        words.append(f"--parent {parent}")
    for lists, flags in (
        (grid.train, TRAIN_FLAGS),
        (grid.kmeans, _KMEANS_FLAGS | _BOTH_FLAGS),
        (grid.affine, _AFFINE_FLAGS | _BOTH_FLAGS),
        (grid.budget, _LIMIT_FLAGS | _BUDGET_WORK_FLAGS | _TUNING_FLAGS),
    ):
        for name, values in (lists or {}).items():
            word = f"{flags[name]} {' '.join(dict.fromkeys(_typed(value) for value in values))}"
            if None not in values and values != _UNTYPED.get(name) and word not in words:
                words.append(word)
    return " ".join(words)


def _typed(value: object) -> str:
    if isinstance(value, tuple):  # the kinds of a budget
        return ",".join(value)
    return shlex.quote(str(value))
