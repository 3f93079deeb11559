"""Import a network that was trained elsewhere, and test it.

    python -m core.checkpoint resnet20.th --dataset CIFAR10 --mean 0.485,0.456,0.406 --std 0.229,0.224,0.225
"""

import argparse
import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from core import data
from core.config import ImportRecipe, data_root, validated
from core.data import normalisation
from core.errors import UserError
from core.models import info
from core.runs.run import SOURCE, Run
from core.runs.store import RunStore
from core.terminal import Parser, answer

if TYPE_CHECKING:
    from core.models.checkpoints import Checkpoint

PROGRAM = "python -m core.checkpoint"
FLAGS = {"file": "FILE", "device": "--device",
         **{f"{field}.{channel}": f"--{field}" for field in ("mean", "std") for channel in range(3)}}
SUMMARY = ("run_id", "model", "dataset", "density", "kept", "prunable", "test_accuracy", "device")


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after a finished import, 1 after a failed or stopped one, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    return answer(PROGRAM, options, lambda store: _created(store, options), SUMMARY)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description="Import a network that was trained elsewhere, and test it. It becomes a "
                    "run, which shows in the app and can be quantized.")
    parser.add_argument("file", nargs="?", metavar="FILE", type=Path, help="a checkpoint: .safetensors, .pt, .pth, .th")
    parser.add_argument("--dataset", default="CIFAR10", help="what it was trained on and is tested on [CIFAR10]")
    parser.add_argument("--model", help="the network [recognised by its tensors]")
    parser.add_argument("--mean", type=_numbers, metavar="R,G,B",
                        help="what was subtracted from the pixels in [0, 1] in its training [the data set's own]")
    parser.add_argument("--std", type=_numbers, metavar="R,G,B",
                        help="what the pixels were then divided by [the data set's own]")
    parser.add_argument("--by-order", action="store_true", help=ImportRecipe.model_fields["by_order"].description)
    parser.add_field(ImportRecipe, "device", "--device")
    parser.add_run_options()
    return parser


def _numbers(text: str) -> tuple[float, ...]:
    try:
        values = tuple(float(word) for word in text.split(","))
    except ValueError:
        values = ()
    if len(values) != 3:
        raise argparse.ArgumentTypeError(f"takes three numbers, such as 0.485,0.456,0.406, got {text!r}")
    return values


def _created(store: RunStore, options: argparse.Namespace) -> Run:
    """The run that the flags describe. Raises UserError for what cannot be imported, before anything is made."""
    if options.file is None:
        raise UserError("FILE is needed: the checkpoint to import.")
    root, out = data_root(options.data_dir), sys.stderr if options.json else sys.stdout
    known = {choice.name: choice.info for choice in data.available(root)}
    if options.dataset not in known:
        raise UserError(f"--dataset must be one of {', '.join(known)}, got {options.dataset!r}")
    from core.training import importing  # brings torch

    checkpoint, _ = importing.read(options.file)
    own = checkpoint.facts or normalisation.of(options.dataset, root)
    model = info(options.model, "--model").name if options.model else _recognised(checkpoint)
    recipe = validated(ImportRecipe, {
        "file": options.file.name[-200:], "model": model, "dataset": options.dataset, "by_order": options.by_order,
        "mean": options.mean or own.mean, "std": options.std or own.std, "device": options.device}, FLAGS)
    matching = importing.matched(checkpoint, recipe, known[options.dataset].classes)
    if matching.by_order:
        print("\n".join(f"{theirs}  ->  {ours}  {_by(shape)}" for theirs, ours, shape in matching.pairs), file=out)
    if not (options.mean and options.std):
        whose = "the file's" if checkpoint.facts else f"{options.dataset}'s"
        print(f"Pixels are normalised by {whose} own figures where none are given: --mean="
              f"{_with_commas(recipe.mean)} --std={_with_commas(recipe.std)}", file=out)
    return store.create(recipe, options.name, files={SOURCE: options.file.read_bytes()})


def _recognised(checkpoint: "Checkpoint") -> str:
    """The one network that the checkpoint fits. Raises UserError if there is none, or more."""
    from core.models.matching import recognise, stranger

    found = recognise(checkpoint.state)
    if not found:
        raise UserError(stranger(checkpoint.state, checkpoint.name))
    if len(found) > 1:
        raise UserError(f"{checkpoint.name} fits {', '.join(candidate.model for candidate in found)}: choose with "
                        "--model.")
    return found[0].model


def command(recipe: ImportRecipe) -> str:
    """The command line that imports the recipe's file, which has to be in the working folder."""
    words = ["python -m core.checkpoint", shlex.quote(recipe.file), "--model", recipe.model, "--dataset",
             shlex.quote(recipe.dataset), f"--mean={_with_commas(recipe.mean)}", f"--std={_with_commas(recipe.std)}",
             *(["--by-order"] if recipe.by_order else []),
             *(["--device", recipe.device] if recipe.device != "auto" else [])]
    return " ".join(words)


def _with_commas(values: tuple[float, ...]) -> str:
    return ",".join(map(str, values))


def _by(shape: tuple[int, ...]) -> str:
    return " x ".join(map(str, shape))


if __name__ == "__main__":
    sys.exit(main())
