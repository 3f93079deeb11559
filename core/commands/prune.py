"""Prune the network of a finished run, and fine-tune it if wanted.

python -m core prune RUN --density 0.3
python -m core prune RUN --method magnitude --density 0.2 --epochs 12 --gradual 8
"""

import argparse
import shlex
from functools import partial
from typing import Any

from core.commands.flags import add_field_flag, flag_words, flags_that_differ, typed_values
from core.commands.terminal import (
    DATA_DIR,
    Parser,
    named_run,
    require_run,
    run_command,
    typed_tags,
)
from core.config import PruneRecipe, data_root, validate_recipe
from core.jobs.check import check_recipe
from core.runs.prune import check_parent
from core.runs.run import Run
from core.runs.store import RunStore

PROGRAM = "python -m core prune"
PRUNE_FLAGS = {
    "density": "--density",
    "method": "--method",
    "layer_densities": "--layerdensities",
    "spare_first": "--spare-first",
    "spare_last": "--spare-last",
    "images": "--images",
    "recalibrate": "--recalibrate",
    "epochs": "--epochs",
    "gradual": "--gradual",
    "every": "--every",
    "teacher": "--teacher",
    "rewind": "--rewind",
    "lr": "--lr",
    "momentum": "--momentum",
    "weight_decay": "--weightdecay",
    "batch_size": "--batchsize",
    "train_images": "--trainimages",
    "seed": "--seed",
    "precision": "--precision",
    "device": "--device",
}
_JSON_KEYS = (
    "run_id",
    "parent",
    "model",
    "dataset",
    "kind",
    "density",
    "test_accuracy",
    "parent_accuracy",
    "float_bytes",
    "packed_bytes",
    "train_seconds",
    "device",
)
_SPECIAL_FLAGS: dict[str, dict[str, Any]] = {
    "recalibrate": {"action": argparse.BooleanOptionalAction},
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_run(arguments)
    return run_command(PROGRAM, options, partial(_create_run, options), _JSON_KEYS)


def prune_command(recipe: PruneRecipe, parent_id: str) -> str:
    """Return the command line that applies this recipe to the result of a run.

    It has the density always, and the other flags where they differ from their defaults.
    """
    words = [
        *PROGRAM.split(),
        parent_id,
        *flag_words(PRUNE_FLAGS["density"], recipe.density),
        *flags_that_differ(recipe, PRUNE_FLAGS, without=["density"]),
    ]
    return shlex.join(words)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Prune the network of a finished run. The result is a new run, with a packed file."
            " Without --epochs nothing is trained: compensated pruning takes seconds. With --epochs"
            " the rest is fine-tuned, and with --gradual the weights go little by little."
        ),
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the id of the run whose network is pruned"
    )
    for name, flag in PRUNE_FLAGS.items():
        aliases = ["--retrain", "--retain"] if name == "density" else []
        add_field_flag(parser, PruneRecipe, name, flag, *aliases, **_SPECIAL_FLAGS.get(name, {}))
    parser.add_run_options()
    return parser


def _create_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag."""
    require_run(options, "pruned")
    recipe = validate_recipe(PruneRecipe, typed_values(options, PRUNE_FLAGS), PRUNE_FLAGS)
    parent = named_run(options, store)
    names = PRUNE_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, parent.dataset)
    check_parent(recipe, parent, names)
    return store.create(recipe, options.name, parent.id, tags=typed_tags(options))
