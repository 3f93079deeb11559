"""Import a network that was trained elsewhere, and test it.

python -m core import resnet20.th --dataset CIFAR10 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
"""

import argparse
import shlex
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from core import data
from core.commands.flags import add_field_flag, flags_that_differ, join_numbers, typed_values
from core.commands.terminal import Parser, run_command, text_stream
from core.config import ImportRecipe, data_root, validate_recipe
from core.data import DatasetInfo
from core.data.normalisation import normalisation_of
from core.errors import UserError
from core.models import model_info
from core.runs.run import IMPORT_SOURCE, Run
from core.runs.store import RunStore

if TYPE_CHECKING:
    from core.checkpoints.matching import Matching
    from core.checkpoints.reader import Checkpoint

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
    options = _parser().parse_args(arguments)
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
        help="a checkpoint: .safetensors, .pt, .pth, .th",
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
            " [that of the data set]"
        ),
    )
    parser.add_argument(
        "--std",
        type=_three_numbers,
        metavar="R,G,B",
        help="the pixels were then divided by it [that of the data set]",
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
    dataset = _dataset_info(options)
    from core.checkpoints.reader import match_recipe, read_checkpoint  # imports torch

    checkpoint = read_checkpoint(options.file)
    recipe = _recipe(options, checkpoint)
    matching = match_recipe(checkpoint, recipe, dataset.classes)
    out = text_stream(options)
    if matching.by_order:
        print(_describe_matches(matching), file=out)
    if not (options.mean and options.std):
        print(_describe_normalisation(recipe, checkpoint), file=out)
    return store.create(recipe, options.name, files={IMPORT_SOURCE: options.file.read_bytes()})


def _dataset_info(options: argparse.Namespace) -> DatasetInfo:
    choices = data.available(data_root(options.data_dir))
    infos = {choice.name: choice.info for choice in choices}
    if options.dataset not in infos:
        raise UserError(f"--dataset must be one of {', '.join(infos)}, got {options.dataset!r}")
    return infos[options.dataset]


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
        raise UserError(f"{checkpoint.name} fits {models}: choose with --model.")
    return candidates[0].model


def _describe_matches(matching: "Matching") -> str:
    lines = []
    for file_name, model_name, shape in matching.pairs:
        size = " x ".join(str(length) for length in shape)
        lines.append(f"{file_name}  ->  {model_name}  {size}")
    return "\n".join(lines)


def _describe_normalisation(recipe: ImportRecipe, checkpoint: "Checkpoint") -> str:
    owner = "the file's" if checkpoint.card else f"{recipe.dataset}'s"
    return (
        f"Pixels are normalised by {owner} own figures where none are given:"
        f" --mean={join_numbers(recipe.mean)} --std={join_numbers(recipe.std)}"
    )
