"""Adds --prunetype and parses yes and no, for a training and for a sweep of trainings."""

import argparse
from typing import Any

from core.commands.flags import add_field_flag
from core.config import Prune


def add_prune_type_flag(parser: argparse.ArgumentParser, **settings: Any) -> None:
    """Add --prunetype. settings: further arguments of `add_argument`."""
    add_field_flag(
        parser,
        Prune,
        "layerwise",
        "--prunetype",
        action="store",
        type=_prune_type,
        metavar="{False,True}",
        help=(
            "False or global: all layers compete for the weights that are kept; True or layerwise:"
            " every layer keeps the same fraction [False]"
        ),
        **settings,
    )


def _prune_type(text: str) -> bool:
    """Parse the value of --prunetype: whether every layer keeps the same fraction."""
    if text.lower() not in ("false", "global", "true", "layerwise"):
        raise argparse.ArgumentTypeError(
            f"must be False (global) or True (layerwise), got {text!r}"
        )
    return text.lower() in ("true", "layerwise")


def yes_or_no(text: str) -> bool:
    """Parse yes or no. Raises ArgumentTypeError for anything else."""
    if text.lower() not in ("yes", "no", "true", "false"):
        raise argparse.ArgumentTypeError(f"takes yes or no, got {text!r}")
    return text.lower() in ("yes", "true")
