"""Import a network that was trained elsewhere, and test it.

python -m core import resnet20.th --dataset CIFAR10 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
"""

import argparse
import shlex
from collections.abc import Generator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core import data
from core.commands.flags import add_field_flag, flags_that_differ, join_numbers, typed_values
from core.commands.terminal import (
    DATA_DIR,
    Parser,
    print_events,
    run_command,
    text_stream,
    typed_tags,
)
from core.config import ImportRecipe, data_root, validate_recipe
from core.data.normalisation import normalisation_of
from core.errors import UserError
from core.events import Event
from core.files import content_of
from core.jobs.check import check_dataset, check_recipe
from core.models import model_info
from core.runs.run import IMPORT_SOURCE, Run
from core.runs.store import RunStore

if TYPE_CHECKING:
    from core.checkpoints.matching import Matching
    from core.checkpoints.reader import Checkpoint
    from core.forecast.normalisation import TriedNormalisation

PROGRAM = "python -m core import"
IMPORT_FLAGS = {
    "model": "--model",
    "dataset": "--dataset",
    "mean": "--mean",
    "std": "--std",
    "by_order": "--by-order",
    "device": "--device",
}
# An error about one of the three numbers of a field names the field's flag.
_ERROR_NAMES = {
    "file": "FILE",
    **IMPORT_FLAGS,
    **{f"{name}.{channel}": f"--{name}" for name in ("mean", "std") for channel in range(3)},
}
_JSON_KEYS = (
    "run_id",
    "model",
    "dataset",
    "density",
    "kept",
    "prunable",
    "test_accuracy",
    "device",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_run(arguments)
    return run_command(PROGRAM, options, partial(_create_run, options), _JSON_KEYS)


def import_command(recipe: ImportRecipe) -> str:
    """Return the command line that imports the recipe's file from the working folder."""
    words = [*PROGRAM.split(), recipe.file, *flags_that_differ(recipe, IMPORT_FLAGS)]
    return shlex.join(words)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Import a network that was trained elsewhere, and test it. It becomes a run, which the"
            " app shows and which can be quantized."
        ),
    )
    parser.add_argument(
        "file",
        nargs="?",
        metavar="FILE",
        type=Path,
        help="a checkpoint: .safetensors, .secateur, .pt, .pth, .th",
    )
    parser.add_argument(
        "--dataset",
        default="CIFAR10",
        help="the data set that it was trained on and is tested on [CIFAR10]",
    )
    parser.add_argument("--model", help="the network [recognised by its tensors]")
    parser.add_argument(
        "--mean",
        type=_three_numbers,
        metavar="R,G,B",
        help=(
            "subtracted from the pixels in [0, 1] before the network was trained"
            " [the likeliest of the well-known ones, tried on 500 training images]"
        ),
    )
    parser.add_argument(
        "--std",
        type=_three_numbers,
        metavar="R,G,B",
        help="the pixels were then divided by it [likewise]",
    )
    add_field_flag(parser, ImportRecipe, "by_order", "--by-order", action="store_true")
    add_field_flag(parser, ImportRecipe, "device", "--device")
    parser.add_run_options()
    return parser


def _three_numbers(text: str) -> tuple[float, ...]:
    """Parse the value of --mean or --std."""
    try:
        numbers = tuple(float(word) for word in text.split(","))
    except ValueError:
        numbers = ()
    if len(numbers) != 3:
        raise argparse.ArgumentTypeError(
            f"takes three numbers, such as 0.485,0.456,0.406, got {text!r}"
        )
    return numbers


def _create_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag.

    Prints the matches of tensors whose names differ, and the normalisation that was not given.
    """
    if options.file is None:
        raise UserError("FILE is needed: the checkpoint to import.")
    tags = typed_tags(options)
    root = data_root(options.data_dir)
    dataset = check_dataset(options.dataset, root, IMPORT_FLAGS | DATA_DIR)
    from core.checkpoints.reader import match_recipe, read_checkpoint  # imports torch

    checkpoint = read_checkpoint(options.file)
    recipe = _recipe(options, checkpoint)
    check_recipe(recipe, root, IMPORT_FLAGS | DATA_DIR)
    matching = match_recipe(checkpoint, recipe, dataset.classes)
    out = text_stream(options)
    if matching.renamed:
        print(_describe_matches(matching), file=out)
    if not (options.mean or options.std or checkpoint.card):
        ranked = _rank_normalisations(matching, checkpoint, options)
        best = ranked[0].normalisation
        recipe = recipe.model_copy(update={"mean": best.mean, "std": best.std})
        print(_describe_ranking(ranked), file=out)
    elif not (options.mean and options.std):
        print(_describe_normalisation(recipe, checkpoint), file=out)
    source = {IMPORT_SOURCE: content_of(options.file)}
    return store.create(recipe, options.name, files=source, tags=tags)


def _recipe(options: argparse.Namespace, checkpoint: "Checkpoint") -> ImportRecipe:
    """Return the validated recipe of the parsed flags for a checkpoint."""
    if options.model:
        model = model_info(options.model, "--model").name
    else:
        model = _recognise_model(checkpoint)
    default = checkpoint.card or normalisation_of(options.dataset, data_root(options.data_dir))
    values = {
        "file": options.file.name[-200:],
        "model": model,
        "dataset": options.dataset,
        "mean": options.mean or default.mean,
        "std": options.std or default.std,
    }
    values |= typed_values(options, {"by_order": "--by-order", "device": "--device"})
    return validate_recipe(ImportRecipe, values, _ERROR_NAMES)


def _recognise_model(checkpoint: "Checkpoint") -> str:
    """Return the one network that the checkpoint fits. Raises UserError for none or several."""
    from core.checkpoints.recognition import describe_unrecognised, recognise

    candidates = recognise(checkpoint.state)
    if not candidates:
        raise UserError(describe_unrecognised(checkpoint.state, checkpoint.name))
    if len(candidates) > 1:
        models = ", ".join(candidate.model for candidate in candidates)
        raise UserError(
            f"{checkpoint.name} fits {models}: choose with --model. The first is the likeliest by"
            " its names."
        )
    return candidates[0].model


def _rank_normalisations(
    matching: "Matching", checkpoint: "Checkpoint", options: argparse.Namespace
) -> "list[TriedNormalisation]":
    """Prepare the data set if need be, and try the well-known normalisations on it."""
    from core.forecast.normalisation import rank_normalisations

    root = data_root(options.data_dir)
    ranked: list[TriedNormalisation] = []

    def events() -> Generator[Event, None, None]:
        yield from data.prepare(options.dataset, root)
        network = matching.network(checkpoint.state)
        ranked.extend((yield from rank_normalisations(network, options.dataset, root)))

    print_events(events(), text_stream(options))
    return ranked


def _describe_ranking(ranked: "list[TriedNormalisation]") -> str:
    best = ranked[0]
    lines = [f"  {trial.accuracy:7.2%}  {trial.name}" for trial in ranked]
    return "\n".join(
        [
            "The file does not say how its pixels were normalised. Of training images these get"
            " right:",
            *lines,
            "Those within one point of the best are too close to tell apart. Of them, the first is"
            " the one that fits the network's BatchNorm best, or without one, has the lowest loss.",
            f"The first one is taken: --mean={join_numbers(best.normalisation.mean)}"
            f" --std={join_numbers(best.normalisation.std)}",
        ]
    )


def _describe_matches(matching: "Matching") -> str:
    """List the tensors whose names differ: theirs, ours and the shape."""
    lines = []
    for file_name, model_name, shape in matching.renamed:
        size = " x ".join(str(length) for length in shape) or "1"
        lines.append(f"{file_name}  ->  {model_name}  {size}")
    same = len(matching.pairs) - len(matching.renamed)
    if same:
        lines.append(f"{same:,} other tensors have the same names.")
    return "\n".join(lines)


def _describe_normalisation(recipe: ImportRecipe, checkpoint: "Checkpoint") -> str:
    owner = "the file's" if checkpoint.card else f"{recipe.dataset}'s"
    return (
        f"Pixels are normalised by {owner} own figures where none are given:"
        f" --mean={join_numbers(recipe.mean)} --std={join_numbers(recipe.std)}"
    )
