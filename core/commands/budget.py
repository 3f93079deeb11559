"""Find clusters or bits for each layer of a finished run's network, under a budget.

python -m core budget RUN --smaller 8
python -m core budget RUN --lose 0.5 --minutes 20
"""

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import Any

from core.commands.flags import add_field_flag, flags_that_differ, typed_values
from core.commands.terminal import (
    DATA_DIR,
    Parser,
    named_run,
    require_run,
    run_command,
    typed_tags,
)
from core.config import BudgetRecipe, data_root, validate_recipe
from core.errors import UserError
from core.jobs.check import check_recipe
from core.models.saved import read_model
from core.runs.run import MODEL, Run
from core.runs.store import RunStore

PROGRAM = "python -m core budget"
BUDGET_FLAGS = {
    "bytes": "--bytes",
    "smaller": "--smaller",
    "lose": "--lose",
    "minutes": "--minutes",
    "kinds": "--kinds",
    "images": "--images",
    "trials": "--trials",
    "tuning_epochs": "--epochs",
    "lr": "--lr",
    "batch_size": "--batchsize",
    "rest": "--rest",
    "seed": "--seed",
    "device": "--device",
}
_LIMITS = ("bytes", "smaller", "lose")
_JSON_KEYS = (
    "run_id",
    "parent",
    "model",
    "dataset",
    "kind",
    "test_accuracy",
    "parent_accuracy",
    "test_images",
    "test_half",
    "float_bytes",
    "packed_bytes",
    "epochs",
    "train_seconds",
    "device",
)
_SPECIAL_FLAGS: dict[str, dict[str, Any]] = {
    "kinds": {
        "nargs": "+",
        "metavar": "KIND",
        "help": (
            "what a layer may get: share (2 to 64 clusters of k-means), round (2 to 8 bits), or"
            " both, and the search chooses for each layer [share round]"
        ),
    },
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_run(arguments)
    return run_command(PROGRAM, options, partial(_create_run, options), _JSON_KEYS)


def budget_command(recipe: BudgetRecipe, parent_id: str) -> str:
    """Return the command line that applies this recipe to the result of a run."""
    words = [*PROGRAM.split(), parent_id, *flags_that_differ(recipe, BUDGET_FLAGS, ["kinds"])]
    if recipe.kinds != BudgetRecipe.model_fields["kinds"].default:
        words += [BUDGET_FLAGS["kinds"], *recipe.kinds]
    return shlex.join(words)


def budget_recipe(options: argparse.Namespace) -> BudgetRecipe:
    """Return the validated recipe of parsed flags. Raises UserError, naming the flag."""
    values = typed_values(options, BUDGET_FLAGS)
    typed = [BUDGET_FLAGS[name] for name in _LIMITS if name in values]
    if len(typed) != 1:
        given = " and ".join(typed) or "none"
        raise UserError(f"one of --bytes, --smaller and --lose must be given, got {given}")
    if len(set(values.get("kinds", ()))) < len(values.get("kinds", ())):
        raise UserError(f"--kinds takes each kind once, got {' '.join(values['kinds'])}")
    kinds = {f"kinds.{place}": "--kinds" for place in range(len(values.get("kinds", ())))}
    return validate_recipe(BudgetRecipe, values, BUDGET_FLAGS | kinds)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Find the clusters or bits of each layer, so that the network of a finished run fits a"
            " budget. The result is a new run, with a packed file. Exactly one limit is given:"
            " --bytes or --smaller, with the best answers within it, or --lose, with the fewest"
            " bytes. Its accuracies are those of one half of the test images, which decides"
            " nothing. With --images, --trials and --epochs, the clock decides nothing either."
        ),
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the id of the run whose network is quantized"
    )
    for name, flag in BUDGET_FLAGS.items():
        add_field_flag(parser, BudgetRecipe, name, flag, **_SPECIAL_FLAGS.get(name, {}))
    parser.add_run_options()
    return parser


def _create_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag."""
    require_run(options, "quantized")
    recipe = budget_recipe(options)
    parent = named_run(options, store)
    names = BUDGET_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, parent.dataset)
    if recipe.lose is None and parent.has_model:
        _check_bytes(recipe, parent.path / MODEL)
    return store.create(recipe, options.name, parent.id, tags=typed_tags(options))


def _check_bytes(recipe: BudgetRecipe, model: Path) -> None:
    """Raise UserError, naming the flag, if not even the smallest file is within the limit."""
    from core.jobs.budget_limits import check_smallest  # imports torch

    flag = BUDGET_FLAGS["bytes" if recipe.bytes is not None else "smaller"]
    try:
        check_smallest(recipe, read_model(model))
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None
