"""Train a network, pruned before its first step or dense, and test it.

python -m core train --model VGG16 --dataset CIFAR10 --retrain 0.05 --epochs 70
"""

import argparse
import shlex
import sys
from collections.abc import Container, Iterator
from functools import partial

from core.commands.flags import add_field_flag, flags_that_differ, typed_values
from core.commands.terminal import DATA_DIR, Parser, run_command, typed_tags
from core.commands.train_flags import add_prune_type_flag, yes_or_no
from core.compress.pruning.methods import PRUNING_METHODS
from core.config import Prune, TrainRecipe, data_root, validate_recipe
from core.errors import UserError
from core.jobs.check import check_recipe
from core.models import model_info, own_networks
from core.runs.run import Run
from core.runs.store import RunStore

PROGRAM = "python -m core train"
_RECIPE_FLAGS = {
    "model": "--model",
    "dataset": "--dataset",
    "lr": "--lr",
    "epochs": "--epochs",
    "weight_decay": "--weightdecay",
    "step": "--step",
    "batch_size": "--batchsize",
    "momentum": "--momentum",
    "schedule": "--schedule",
    "gamma": "--gamma",
    "label_smoothing": "--labelsmoothing",
    "augment": "--augment",
    "train_images": "--trainimages",
    "validation": "--validation",
    "seed": "--seed",
    "keep_every": "--keepevery",
    "keep_mb": "--keepmb",
    "precision": "--precision",
    "device": "--device",
    "devices": "--devices",
}
_PRUNE_FLAGS = {
    "layerwise": "--prunetype",
    "density": "--retrain",
    "pattern": "--pattern",
    "method": "--method",
    "batch_size": "--scorebatch",
    "batches": "--scorebatches",
    "rounds": "--rounds",
    "score_mode": "--scoremode",
    "augment": "--scoreaugment",
}
TRAIN_FLAGS = _RECIPE_FLAGS | {f"prune.{name}": flag for name, flag in _PRUNE_FLAGS.items()}
# A printed command line has these fields first, in the words and the order of the original.
_ORIGINAL_FIELDS = ("model", "dataset", "lr", "epochs", "weight_decay", "step", "batch_size")
_ORIGINAL_PRUNE_FIELDS = ("layerwise", "density")
_JSON_KEYS = (
    "run_id",
    "model",
    "dataset",
    "density",
    "kept",
    "prunable",
    "epochs",
    "test_accuracy",
    "best_accuracy",
    "best_by",
    "test_images",
    "classes",
    "float_bytes",
    "packed_bytes",
    "train_seconds",
    "images_per_second",
    "precision",
    "device",
)


def main(
    arguments: list[str] | None = None, program: str = PROGRAM, lenient: Container[str] = ()
) -> int:
    """Run the command and return its exit code.

    program: its name in messages. lenient: flags that are accepted also where they have no effect.
    """
    words = sys.argv[1:] if arguments is None else arguments
    options = _parser(program).parse_run(_remove_equals_signs(words))
    return run_command(program, options, partial(_create_run, options, lenient), _JSON_KEYS)


def train_recipe(options: argparse.Namespace, lenient: Container[str] = ()) -> TrainRecipe:
    """Return the validated recipe of parsed flags.

    lenient: flags that are accepted also where they have no effect. Raises UserError, naming the
    flag, and for two flags of which one makes the other idle, naming both.
    """
    values = typed_values(options, _RECIPE_FLAGS)
    if "model" in values:
        values["model"] = model_info(values["model"], "--model").name
    values["prune"] = typed_values(options, _PRUNE_FLAGS)
    if options.dense and values["prune"]:
        flag = _PRUNE_FLAGS[next(iter(values["prune"]))]
        raise UserError(f"--dense and {flag} exclude each other: a dense network is not pruned")
    recipe = validate_recipe(TrainRecipe, values, TRAIN_FLAGS)
    if options.dense:
        recipe = recipe.model_copy(update={"prune": None})
    typed = {*typed_values(options, _RECIPE_FLAGS), *(f"prune.{name}" for name in values["prune"])}
    for name, reason in _idle_fields(recipe):
        flag = TRAIN_FLAGS[name]
        if name in typed and flag not in lenient:
            raise UserError(f"{flag} has no effect with {reason}")
    return recipe


def _idle_fields(recipe: TrainRecipe) -> Iterator[tuple[str, str]]:
    """The fields that change nothing in a run of the recipe, each with the flag that decides it.

    A field of the pruning is called as in `TRAIN_FLAGS`, such as "prune.rounds".
    """
    if recipe.schedule != "step":
        reason = f"--schedule {recipe.schedule}: only the step schedule has drops"
        yield from ((name, reason) for name in ("step", "gamma"))
    if recipe.prune is None:
        return
    method = recipe.prune.method
    facts = PRUNING_METHODS[method]
    if not facts.iterative:
        yield "prune.rounds", f"--method {method}, which scores once"
    if not facts.needs_data:
        # Of the methods without images, SynFlow alone runs the network, always in evaluation mode.
        reason = f"--method {method}, which scores without images"
        for name in ("batch_size", "batches", "score_mode", "augment"):
            yield f"prune.{name}", reason


def train_command(recipe: TrainRecipe) -> str:
    """Return the command line that trains this recipe.

    It has the original's flags always, and the others where they differ from their defaults. A
    flag that has no effect is left out, and a dense network has none of the pruning.
    """
    idle = {name for name, _ in _idle_fields(recipe)}
    prune = recipe.prune or Prune()
    idle_of_prune = {name for name in Prune.model_fields if f"prune.{name}" in idle}
    words = [
        PROGRAM,
        f"--model {recipe.model}",
        f"--dataset {shlex.quote(recipe.dataset)}",
        *([] if recipe.prune is None else [f"--prunetype {prune.layerwise}"]),
        f"--lr {recipe.lr}",
        f"--epochs {recipe.epochs}",
        f"--weightdecay {recipe.weight_decay}",
        *([] if "step" in idle else [f"--step {recipe.step}"]),
        f"--batchsize {recipe.batch_size}",
        "--dense" if recipe.prune is None else f"--retrain {prune.density}",
    ]
    words += flags_that_differ(recipe, _RECIPE_FLAGS, {*_ORIGINAL_FIELDS, "augment", *idle})
    if recipe.augment is not None:
        words.append("--augment yes" if recipe.augment else "--augment no")
    written = {*_ORIGINAL_PRUNE_FIELDS, "augment", *idle_of_prune}
    words += flags_that_differ(prune, _PRUNE_FLAGS, without=written)
    if not prune.augment and "augment" not in idle_of_prune:
        words.append("--scoreaugment no")
    return " ".join(words)


def _parser(program: str) -> Parser:
    parser = Parser(
        prog=program,
        description=(
            "Prune a network at its initial weights, train it and test it. Every run is kept, and"
            " the app shows it."
        ),
    )
    for name, flag in _RECIPE_FLAGS.items():
        if name != "augment":
            add_field_flag(parser, TrainRecipe, name, flag)
    add_field_flag(parser, TrainRecipe, "augment", "--augment", type=yes_or_no, metavar="{yes,no}")
    _add_prune_flags(parser)
    parser.add_run_options()
    return parser


def _add_prune_flags(parser: Parser) -> None:
    add_field_flag(
        parser,
        Prune,
        "density",
        "--retrain",
        "--retain",
        help="the density: the fraction of the weights that is kept, in (0, 1] [0.05]",
    )
    add_prune_type_flag(parser)
    for name in ("method", "pattern", "batch_size", "batches", "rounds"):
        add_field_flag(parser, Prune, name, _PRUNE_FLAGS[name])
    add_field_flag(parser, Prune, "score_mode", "--scoremode", metavar="{eval,train}")
    add_field_flag(
        parser,
        Prune,
        "augment",
        "--scoreaugment",
        action="store",
        type=yes_or_no,
        metavar="{yes,no}",
        help=f"{Prune.model_fields['augment'].description} [yes]",
    )
    parser.add_argument("--dense", action="store_true", help="do not prune")


def _remove_equals_signs(arguments: list[str]) -> list[str]:
    """Remove the equals signs of the original's spelling `--model = "ResNet34"`.

    The spellings `--model= ResNet34` and `--model =ResNet34` are understood as well.
    """
    words: list[str] = []
    for word in arguments:
        follows_flag = bool(words) and words[-1].startswith("--")
        if follows_flag and word == "=":
            continue
        if follows_flag and word.startswith("="):
            word = word[1:]
        if word.startswith("--"):
            word = word.removesuffix("=")
        words.append(word)
    return words


def print_left_out_files() -> None:
    """Say which files of the folder SECATEUR_MODELS are no networks that can be chosen."""
    for problem in own_networks().problems:
        print(problem, file=sys.stderr)


def _create_run(options: argparse.Namespace, lenient: Container[str], store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag."""
    print_left_out_files()
    recipe = train_recipe(options, lenient)
    check_recipe(recipe, data_root(options.data_dir), TRAIN_FLAGS | DATA_DIR)
    return store.create(recipe, options.name, tags=typed_tags(options))
