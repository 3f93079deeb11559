"""Quantize the network of a finished run, by k-means or to a few bits.

python -m core quantize RUN --clusters 5 --epochs 4
python -m core quantize RUN --bits 8
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
from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe, data_root, validate_recipe
from core.errors import UserError
from core.jobs.check import check_recipe
from core.models.saved import read_card
from core.runs.run import MODEL, Run
from core.runs.store import RunStore

PROGRAM = "python -m core quantize"
QUANTIZE_FLAGS = {
    "clusters": "--clusters",
    "init": "--init",
    "keep_zeros": "--keep-zeros",
    "epochs": "--epochs",
    "lr": "--lr",
    "batch_size": "--batchsize",
    "train_images": "--trainimages",
    "bits": "--bits",
    "per_channel": "--per-channel",
    "symmetric": "--symmetric",
    "range": "--range",
    "layers": "--layers",
    "rounding": "--rounding",
    "round_images": "--roundimages",
    "batchnorm": "--batchnorm",
    "recalibrate": "--recalibrate",
    "rest": "--rest",
    "seed": "--seed",
    "device": "--device",
}
_JSON_KEYS = (
    "run_id",
    "parent",
    "model",
    "dataset",
    "kind",
    "test_accuracy",
    "parent_accuracy",
    "float_bytes",
    "packed_bytes",
    "train_seconds",
    "device",
)


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code."""
    options = _parser().parse_run(arguments)
    return run_command(PROGRAM, options, partial(_create_run, options), _JSON_KEYS)


def quantize_recipe(options: argparse.Namespace) -> QuantizeRecipe:
    """Return the validated recipe of parsed flags. Raises UserError, naming the flag."""
    values = typed_values(options, QUANTIZE_FLAGS)
    if "clusters" in values and "bits" in values:
        raise UserError(
            "--clusters and --bits exclude each other: share the weights first, then round the"
            " result of that run"
        )
    if "bits" in values:
        return _validated_recipe(AffineRecipe, "--bits", values)
    return _validated_recipe(KMeansRecipe, "--clusters", values)


def quantize_command(recipe: QuantizeRecipe, parent_id: str) -> str:
    """Return the command line that applies this recipe to the result of a run.

    It has the clusters or bits always, and the other flags where they differ from their defaults.
    """
    main_field = "clusters" if isinstance(recipe, KMeansRecipe) else "bits"
    words = [
        *PROGRAM.split(),
        parent_id,
        *flag_words(QUANTIZE_FLAGS[main_field], getattr(recipe, main_field)),
        *flags_that_differ(recipe, QUANTIZE_FLAGS, without=[main_field]),
    ]
    return shlex.join(words)


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Quantize the network of a finished run. The result is a new run, with a packed file."
            " --clusters shares the weights of each layer by k-means (the default, with 5),"
            " --bits rounds them to evenly spaced levels."
        ),
    )
    parser.add_argument(
        "run", nargs="?", metavar="RUN", help="the id of the run whose network is quantized"
    )
    for name, flag in QUANTIZE_FLAGS.items():
        recipe_type = KMeansRecipe if name in KMeansRecipe.model_fields else AffineRecipe
        add_field_flag(parser, recipe_type, name, flag, **_SPECIAL_FLAGS.get(name, {}))
    parser.add_argument(
        "--per-tensor",
        dest="per_channel",
        action="store_false",
        default=argparse.SUPPRESS,
        help="the same as --no-per-channel",
    )
    parser.add_run_options()
    return parser


def _layer_and_number(text: str) -> tuple[str, int]:
    """Parse one value of --layers, such as conv1.weight=32."""
    name, _, number = text.rpartition("=")
    if not name or not number.isdecimal():
        raise argparse.ArgumentTypeError(
            f"takes a layer's name and a number, such as conv1.weight=32, got {text!r}"
        )
    return name, int(number)


_SPECIAL_FLAGS: dict[str, dict[str, Any]] = {
    "layers": {
        "nargs": "+",
        "type": _layer_and_number,
        "metavar": "NAME=NUMBER",
        "help": "clusters or bits of single layers, by parameter name; 0 does not quantize a layer",
    },
    "recalibrate": {"action": argparse.BooleanOptionalAction},
}


def _validated_recipe(
    recipe_type: type[KMeansRecipe] | type[AffineRecipe], main_flag: str, values: dict[str, Any]
) -> QuantizeRecipe:
    foreign = [name for name in values if name not in recipe_type.model_fields]
    if foreign:
        raise UserError(f"{QUANTIZE_FLAGS[foreign[0]]} does not go with {main_flag}")
    layers = dict(values.get("layers", ()))
    layer_flags = {f"layers.{name}": f"--layers {name}" for name in layers}
    return validate_recipe(recipe_type, values | {"layers": layers}, QUANTIZE_FLAGS | layer_flags)


def _create_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Create the run that the flags describe. Raises UserError, naming the flag."""
    require_run(options, "quantized")
    recipe = quantize_recipe(options)
    parent = named_run(options, store)
    names = QUANTIZE_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, parent.dataset)
    if recipe.layers and parent.has_model:
        _check_layers(parent, recipe)
    return store.create(recipe, options.name, parent.id, tags=typed_tags(options))


def _check_layers(parent: Run, recipe: QuantizeRecipe) -> None:
    """Raise UserError if --layers names a layer that the network does not have."""
    from core.compress.quantization.layers import chosen_layers  # imports torch

    try:
        chosen_layers(read_card(parent.path / MODEL), recipe)
    except UserError as error:
        raise UserError(f"--layers: {error}") from None
