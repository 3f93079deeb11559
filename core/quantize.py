"""Quantize a finished run's network, by k-means or to a few bits.

    python -m core.quantize RUN --clusters 5 --epochs 4
    python -m core.quantize RUN --bits 8
"""

import argparse
import sys

from core.config import AffineRecipe, KMeansRecipe, Quantizing, validated
from core.errors import UserError
from core.models.saved import read_facts
from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from core.terminal import Parser, answer, help_of

PROGRAM = "python -m core.quantize"
SUMMARY = ("run_id", "parent", "model", "dataset", "kind", "test_accuracy", "parent_accuracy", "float_bytes",
           "packed_bytes", "train_seconds", "device")
FLAGS = {"clusters": "--clusters", "init": "--init", "keep_zeros": "--keep-zeros", "epochs": "--epochs", "lr": "--lr",
         "batch_size": "--batchsize", "train_images": "--trainimages", "bits": "--bits",
         "per_channel": "--per-channel", "symmetric": "--symmetric", "range": "--range", "layers": "--layers",
         "batchnorm": "--batchnorm", "recalibrate": "--recalibrate", "rest": "--rest", "seed": "--seed",
         "device": "--device"}
TYPES = {"clusters": int, "epochs": int, "lr": float, "batch_size": int, "train_images": int, "bits": int, "seed": int}
KINDS = {"--clusters": KMeansRecipe, "--bits": AffineRecipe}


def main(arguments: list[str] | None = None) -> int:
    """Run the command: 0 after a finished run, 1 after a failed or stopped one, 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    return answer(PROGRAM, options, lambda store: _created(store, options), SUMMARY)


def _parser() -> argparse.ArgumentParser:
    parser = Parser(prog=PROGRAM, description="Quantize the network of a finished run. The result is a run of its own, "
                    "with a packed file. --clusters shares the weights of each layer by k-means (the default, with 5), "
                    "--bits rounds them to a grid.")
    parser.add_argument("run", nargs="?", metavar="RUN", help="the id of the run whose network is quantized")
    for name, flag in FLAGS.items():
        kind = KMeansRecipe if name in KMeansRecipe.model_fields else AffineRecipe
        more = {"help": help_of(kind, name), "default": argparse.SUPPRESS}
        if name == "recalibrate":  # the one setting whose default is not the same for both
            more["help"] = kind.model_fields[name].description + " [with --clusters yes, with --bits no]"
        if isinstance(kind.model_fields[name].default, bool):
            parser.add_argument(flag, dest=name, action=argparse.BooleanOptionalAction, **more)
        elif name == "layers":
            more["help"] = "clusters or bits of single layers, by parameter name; 0 leaves a layer as it is"
            parser.add_argument(flag, dest=name, nargs="+", type=_layer, metavar="NAME=NUMBER", **more)
        else:
            parser.add_argument(flag, dest=name, type=TYPES.get(name), **more)
    parser.add_argument("--per-tensor", dest="per_channel", action="store_false", default=argparse.SUPPRESS,
                        help="the same as --no-per-channel")
    parser.add_run_options()
    return parser


def _layer(text: str) -> tuple[str, int]:
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise argparse.ArgumentTypeError(f"takes a layer's name and a number, such as conv1.weight=32, got {text!r}")
    return name, int(number)


def _created(store: RunStore, options: argparse.Namespace) -> Run:
    """The run that the flags describe. Raises UserError, naming the flag, for what cannot be."""
    if options.run is None:
        raise UserError("RUN is missing: the id of the finished run whose network is to be quantized")
    recipe = recipe_of(options)
    try:
        parent = store.get(options.run)
    except UserError as error:
        raise UserError(f"RUN: {error}") from None
    if recipe.layers and parent.has_model:
        _check_layers(parent, recipe)
    return store.create(recipe, options.name, parent.id)


def _check_layers(parent: Run, recipe: Quantizing) -> None:
    from core.compress.layers import chosen_layers  # brings torch

    try:
        chosen_layers(read_facts(parent.path / MODEL), recipe)
    except UserError as error:
        raise UserError(f"--layers: {error}") from None


def recipe_of(options: argparse.Namespace) -> Quantizing:
    """The validated recipe of parsed flags. Raises UserError, naming the flag."""
    given = {name: getattr(options, name) for name in FLAGS if hasattr(options, name)}
    if {"clusters", "bits"} <= given.keys():
        raise UserError("--clusters and --bits exclude each other: share weights first, then round that run's result")
    way, kind = ("--bits", AffineRecipe) if "bits" in given else ("--clusters", KMeansRecipe)
    if strange := [FLAGS[name] for name in given if name not in kind.model_fields]:
        raise UserError(f"{strange[0]} does not go with {way}")
    if "layers" in given:
        given["layers"] = dict(given["layers"])
    return validated(kind, given, FLAGS | {f"layers.{name}": f"--layers {name}" for name in given.get("layers", ())})


def command(recipe: Quantizing, parent_id: str) -> str:
    """The command line of this recipe on that run: clusters or bits always, others where they differ from default."""
    plain, main_field = type(recipe)(), "clusters" if isinstance(recipe, KMeansRecipe) else "bits"
    words = [PROGRAM, parent_id, FLAGS[main_field], str(getattr(recipe, main_field))]
    for name, flag in FLAGS.items():
        value = getattr(recipe, name, None)
        if name not in type(recipe).model_fields or name == main_field or value == getattr(plain, name):
            continue
        if isinstance(value, bool):
            words.append(flag if value else flag.replace("--", "--no-", 1))
        elif isinstance(value, dict):
            words += [flag, *(f"{layer}={number}" for layer, number in value.items())]
        else:
            words += [flag, str(value)]
    return " ".join(words)


if __name__ == "__main__":
    sys.exit(main())
