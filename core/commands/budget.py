"""Find clusters or bits for each layer of a finished run's network, under a budget.

python -m core budget RUN --smaller 8
python -m core budget RUN --lose 0.5 --minutes 20
python -m core budget RUN --faster 2
python -m core budget RUN --layers conv1.weight=5c fc.weight=4b
"""

import argparse
import shlex
from collections.abc import Sequence
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
from core.runs.layer_choices import choice_code, parse_choice
from core.runs.run import MODEL, Run
from core.runs.store import RunStore

PROGRAM = "python -m core budget"
BUDGET_FLAGS = {
    "bytes": "--bytes",
    "smaller": "--smaller",
    "lose": "--lose",
    "faster": "--faster",
    "minutes": "--minutes",
    "kinds": "--kinds",
    "layers": "--layers",
    "images": "--images",
    "trials": "--trials",
    "tuning_epochs": "--epochs",
    "lr": "--lr",
    "batch_size": "--batchsize",
    "rest": "--rest",
    "seed": "--seed",
    "device": "--device",
}
_LIMITS = ("bytes", "smaller", "lose", "faster", "layers")
_LIMIT_FLAGS = [BUDGET_FLAGS[name] for name in _LIMITS]
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
    "half_a_accuracy",
    "float_bytes",
    "packed_bytes",
    "parent_milliseconds",
    "milliseconds",
    "speedup",
    "speedup_interval",
    "epochs",
    "train_seconds",
    "device",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_run(arguments)
    return run_command(PROGRAM, options, partial(_create_run, options), _JSON_KEYS)


def budget_command(recipe: BudgetRecipe, parent_id: str) -> str:
    """Return the command line that applies this recipe to the result of a run."""
    written_below = ["kinds", "layers"]
    words = [*PROGRAM.split(), parent_id, *flags_that_differ(recipe, BUDGET_FLAGS, written_below)]
    if recipe.layers:
        codes = (f"{name}={choice_code(choice)}" for name, choice in recipe.layers.items())
        words += [BUDGET_FLAGS["layers"], *codes]
    if recipe.kinds != BudgetRecipe.model_fields["kinds"].default:
        words += [BUDGET_FLAGS["kinds"], *recipe.kinds]
    return shlex.join(words)


def budget_recipe(options: argparse.Namespace) -> BudgetRecipe:
    """Return the validated recipe of parsed flags. Raises UserError, naming the flag."""
    values = typed_values(options, BUDGET_FLAGS)
    typed = [BUDGET_FLAGS[name] for name in _LIMITS if name in values]
    if len(typed) != 1:
        given = " and ".join(typed) or "none"
        raise UserError(f"one of {', '.join(_LIMIT_FLAGS)} must be given, got {given}")
    kinds = names_of_kinds(values.get("kinds", ()))
    named = values.get("layers", ())
    layers = dict(named)
    if len(layers) < len(named):
        raise UserError("--layers takes each layer once")
    layer_flags = {f"layers.{name}": f"--layers {name}" for name in layers}
    return validate_recipe(
        BudgetRecipe, values | {"layers": layers}, BUDGET_FLAGS | kinds | layer_flags
    )


def names_of_kinds(kinds: Sequence[str]) -> dict[str, str]:
    """Return the flag that was typed for each place of --kinds, as `validate_recipe` takes it.

    Raises UserError for kinds that do not go together.
    """
    if len(set(kinds)) < len(kinds):
        raise UserError(f"--kinds takes each kind once, got {' '.join(kinds)}")
    if "prune" in kinds and "share" not in kinds:
        raise UserError(f"--kinds takes prune with share only, got {' '.join(kinds)}")
    return {f"kinds.{place}": BUDGET_FLAGS["kinds"] for place in range(len(kinds))}


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Find the clusters or bits of each layer, so that the network of a finished run fits a"
            " budget. The result is a new run, with a packed file. Exactly one limit is given:"
            " --bytes, --smaller or --faster, with the best answers within it, or --lose, with the"
            " fewest bytes. --faster removes whole channels. With --layers in place of a limit,"
            " nothing is searched. The accuracies of the result are those of one half of the test"
            " images, which decides nothing. With --images, --trials and --epochs, the clock"
            " decides nothing either, except with --faster."
        ),
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the id of the run whose network is quantized"
    )
    for name, flag in BUDGET_FLAGS.items():
        add_field_flag(parser, BudgetRecipe, name, flag, **_SPECIAL_FLAGS.get(name, {}))
    parser.add_run_options()
    return parser


def _layer_and_choice(text: str) -> tuple[str, dict[str, float]]:
    """Parse one value of --layers, such as conv1.weight=5c."""
    name, _, code = text.rpartition("=")
    if not name:
        raise argparse.ArgumentTypeError(
            f"takes a layer's name and its choice, such as conv1.weight=5c, got {text!r}"
        )
    try:
        return name, parse_choice(code)
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


_SPECIAL_FLAGS: dict[str, dict[str, Any]] = {
    "kinds": {
        "nargs": "+",
        "metavar": "KIND",
        "help": (
            "what a layer may get, of which the search chooses for each layer: share (2 to 64"
            " clusters of k-means), round (2 to 8 bits), and prune (weights removed and the others"
            " shared, which needs share) [share round]"
        ),
    },
    "layers": {
        "nargs": "+",
        "type": _layer_and_choice,
        "metavar": "NAME=CHOICE",
        "help": (
            "in place of a limit, a choice for layers, by parameter name, and nothing is searched;"
            " other layers stay in float, as --rest says: 5c for 5 clusters, 4b for 4 bits, 5c@0.5"
            " for 5 clusters after half of the weights were removed"
        ),
    },
}


def _create_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag."""
    require_run(options, "quantized")
    recipe = budget_recipe(options)
    parent = named_run(options, store)
    names = BUDGET_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, parent.dataset)
    if recipe.layers and parent.has_model:
        _check_layers(recipe, parent.path / MODEL)
    elif recipe.faster is not None and parent.has_model:
        _check_channels(parent.path / MODEL)
    elif recipe.lose is None and parent.has_model:
        check_bytes(recipe, parent.path / MODEL)
    return store.create(recipe, options.name, parent.id, tags=typed_tags(options))


def check_bytes(recipe: BudgetRecipe, model: Path) -> None:
    """Raise UserError, naming the flag, if not even the smallest file is within the limit.

    A limit of accuracy is never refused. model: file of the network.
    """
    from core.jobs.budget.checks import check_smallest  # imports torch

    flag = BUDGET_FLAGS["bytes" if recipe.bytes is not None else "smaller"]
    try:
        check_smallest(recipe, read_model(model))
    except UserError as error:
        raise UserError(f"{flag}: {error}") from None


def _check_channels(model: Path) -> None:
    """Raise UserError, naming the flag, if no channel can leave the network."""
    from core.jobs.budget.channels.masks import check_channels  # imports torch

    try:
        check_channels(read_model(model))
    except UserError as error:
        raise UserError(f"{BUDGET_FLAGS['faster']}: {error}") from None


def _check_layers(recipe: BudgetRecipe, model: Path) -> None:
    """Raise UserError if --layers names a layer that the network does not have."""
    from core.jobs.budget.checks import check_choices  # imports torch

    try:
        check_choices(recipe, read_model(model))
    except UserError as error:
        raise UserError(f"{BUDGET_FLAGS['layers']}: {error}") from None
