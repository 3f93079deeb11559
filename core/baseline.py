"""The command line of the original scripts: prune at initialisation, train, test.

    python -m core.baseline --model VGG16 --dataset CIFAR10 --prunetype False --lr 0.1 --epochs 70
                            --weightdecay 0.0005 --step 20 --batchsize 128 --retrain 0.05
"""

import argparse
import sys

from core import data
from core.config import TrainRecipe, data_root, validated
from core.errors import UserError
from core.models import info
from core.runs.run import Run
from core.runs.store import RunStore
from core.terminal import Parser, answer

PROGRAM = "python -m core.baseline"
FLAGS = {"model": "--model", "dataset": "--dataset", "prune.layerwise": "--prunetype", "lr": "--lr",
         "epochs": "--epochs", "weight_decay": "--weightdecay", "step": "--step", "batch_size": "--batchsize",
         "prune.density": "--retrain", "prune.method": "--method", "device": "--device", "seed": "--seed",
         "schedule": "--schedule", "momentum": "--momentum", "gamma": "--gamma", "augment": "--augment",
         "label_smoothing": "--labelsmoothing", "train_images": "--trainimages",
         "keep_every": "--keepevery", "keep_mb": "--keepmb", "prune.batch_size": "--scorebatch",
         "prune.batches": "--scorebatches", "prune.rounds": "--rounds"}
PRUNE_TYPES = {"false": False, "global": False, "true": True, "layerwise": True}
SUMMARY = ("run_id", "model", "dataset", "density", "kept", "prunable", "epochs", "test_accuracy", "best_accuracy",
           "train_seconds", "images_per_second", "device")


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after a finished run, 1 after a failed or stopped one, 2 for wrong arguments."""
    options = _parser().parse_args(_without_equals(sys.argv[1:] if arguments is None else arguments))
    return answer(PROGRAM, options, lambda store: _created(store, options), SUMMARY)


def _parser() -> argparse.ArgumentParser:
    fields, prune = TrainRecipe.model_fields, TrainRecipe().prune
    parser = Parser(prog=PROGRAM, description="Prune a network at its initial weights, train and test it. Every run is "
                    "kept and shows in the app.")

    def flag(name: str, field: str, type=None) -> None:
        parser.add_field(TrainRecipe, field, name, type)

    flag("--model", "model")
    flag("--dataset", "dataset")
    parser.add_argument("--prunetype", default="False", help="False or global: all layers compete for the weights "
                        "that are kept; True or layerwise: every layer keeps the same fraction [False]")
    flag("--lr", "lr", float)
    flag("--epochs", "epochs", int)
    flag("--weightdecay", "weight_decay", float)
    flag("--step", "step", int)
    flag("--batchsize", "batch_size", int)
    parser.add_argument("--retrain", "--retain", dest="density", type=float, default=prune.density,
                        help="the density: the fraction of the weights that is retained, in (0, 1] [0.05]")
    parser.add_argument("--method", default=prune.method,
                        help=type(prune).model_fields["method"].description + " [snip]")
    parser.add_argument("--dense", action="store_true", help="do not prune at all")
    flag("--schedule", "schedule")
    flag("--gamma", "gamma", float)
    flag("--momentum", "momentum", float)
    flag("--labelsmoothing", "label_smoothing", float)
    flag("--trainimages", "train_images", int)
    flag("--keepevery", "keep_every", int)
    flag("--keepmb", "keep_mb", int)
    parser.add_argument("--augment", type=_yes_or_no, default=None, metavar="{yes,no}",
                        help=fields["augment"].description)
    parser.add_argument("--scorebatch", type=int, help=type(prune).model_fields["batch_size"].description)
    parser.add_argument("--scorebatches", type=int, default=1, help=type(prune).model_fields["batches"].description)
    parser.add_argument("--rounds", type=int, help=type(prune).model_fields["rounds"].description)
    flag("--device", "device")
    flag("--seed", "seed", int)
    parser.add_run_options()
    return parser


def _yes_or_no(text: str) -> bool:
    if text.lower() not in ("yes", "no", "true", "false"):
        raise argparse.ArgumentTypeError(f"takes yes or no, got {text!r}")
    return text.lower() in ("yes", "true")


def _without_equals(arguments: list[str]) -> list[str]:
    """The original's spelling `--model = "ResNet34"` (also `--model= X` and `--model =X`) as argparse reads it."""
    words: list[str] = []
    for word in arguments:
        if word == "=" and words and words[-1].startswith("--"):
            continue
        if words and words[-1].startswith("--") and word.startswith("=") and len(word) > 1:
            word = word[1:]
        words.append(word[:-1] if word.startswith("--") and word.endswith("=") else word)
    return words


def _created(store: RunStore, options: argparse.Namespace) -> Run:
    """The run that the flags describe. Raises UserError, naming the flag, for what cannot be."""
    recipe = recipe_of(options)
    names = [choice.name for choice in data.available(data_root(options.data_dir))]
    if recipe.dataset not in names:
        raise UserError(f"--dataset must be one of {', '.join(names)}, got {recipe.dataset!r}")
    return store.create(recipe, options.name)


def recipe_of(options: argparse.Namespace) -> TrainRecipe:
    """The validated recipe of parsed flags."""
    prune_type = options.prunetype.lower()
    if prune_type not in PRUNE_TYPES:
        raise UserError(f"--prunetype must be False (global) or True (layerwise), got {options.prunetype!r}")
    values = {name: getattr(options, name) for name in TrainRecipe.model_fields if hasattr(options, name)}
    values["model"] = info(options.model, "--model").name
    values["prune"] = {"method": options.method, "density": options.density, "layerwise": PRUNE_TYPES[prune_type],
                       "batch_size": options.scorebatch, "batches": options.scorebatches, "rounds": options.rounds}
    recipe = validated(TrainRecipe, values, FLAGS)
    return recipe.model_copy(update={"prune": None}) if options.dense else recipe


def command(recipe: TrainRecipe) -> str:
    """The command line that trains this recipe: the original's flags always, others where they differ from it."""
    plain, words = TrainRecipe(), [PROGRAM]
    prune = recipe.prune or plain.prune
    words += [f"--model {recipe.model} --dataset {_quoted(recipe.dataset)} --prunetype {prune.layerwise}",
              f"--lr {recipe.lr} --epochs {recipe.epochs} --weightdecay {recipe.weight_decay} --step {recipe.step}",
              f"--batchsize {recipe.batch_size}", "--dense" if recipe.prune is None else f"--retrain {prune.density}"]
    always = {"model", "dataset", "lr", "epochs", "weight_decay", "step", "batch_size", "prune", "kind"}
    for name in TrainRecipe.model_fields:
        value = getattr(recipe, name)
        if name not in always and value != getattr(plain, name):
            words.append(f"{FLAGS[name]} {({True: 'yes', False: 'no'}[value]) if name == 'augment' else value}")
    if recipe.prune:
        words += [f"{FLAGS['prune.' + name]} {getattr(prune, name)}" for name in type(prune).model_fields
                  if name not in ("density", "layerwise") and getattr(prune, name) != getattr(plain.prune, name)]
    return " ".join(words)


def _quoted(word: str) -> str:
    return f'"{word}"' if " " in word else word


if __name__ == "__main__":
    sys.exit(main())
