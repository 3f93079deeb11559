"""The flags of an Int8Recipe, and the command line that makes such a file."""

import shlex

from core.commands.flags import flags_that_differ
from core.config import Int8Recipe

INT8_FLAGS = {
    "images": "--calibration",
    "float_first": "--float-first",
    "float_last": "--float-last",
    "seed": "--seed",
}


def int8_command(recipe: Int8Recipe, parent_id: str) -> str:
    """Return the command line that makes the ONNX file in integers of a run's network."""
    words = ["python", "-m", "core", "export", parent_id, "--to", "onnx-int8", "--out", "int8.onnx"]
    return shlex.join([*words, *flags_that_differ(recipe, INT8_FLAGS)])
