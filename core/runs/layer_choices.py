"""A choice of clusters or bits for each layer, in words and in the short form of a command line.

The short form of 5 clusters is 5c, that of 4 bits 4b, and that of 5 clusters for half of the
weights, while the others are removed, 5c@0.5.
"""

import math
import re
from collections.abc import Mapping
from typing import Any

from core.errors import UserError

LayerChoices = Mapping[str, Mapping[Any, float]]
"""Each layer's choice by parameter name: {"clusters": 5}, {"clusters": 5, "density": 0.5} or
{"bits": 4}.
"""

_CODE = re.compile(r"(\d{1,3})([cb])(?:@(\d*\.?\d+))?")


def choice_text(choice: Mapping[Any, float]) -> str:
    """Return a layer's choice in words, such as "5 clusters, 50% kept" or "4 bits"."""
    if "bits" in choice:
        return f"{choice['bits']:g} bits"
    kept = f", {100 * choice['density']:.3g}% kept" if "density" in choice else ""
    return f"{choice['clusters']:g} clusters{kept}"


def choice_code(choice: Mapping[Any, float]) -> str:
    """Return a layer's choice in the short form, such as "5c", "5c@0.5" or "4b"."""
    if "bits" in choice:
        return f"{choice['bits']:g}b"
    density = f"@{choice['density']:.12f}".rstrip("0") if "density" in choice else ""
    return f"{choice['clusters']:g}c{density.removesuffix('.')}"


def parse_choice(code: str) -> dict[str, float]:
    """Return the choice of a short form. Raises UserError for what is none."""
    match = _CODE.fullmatch(code)
    if match is None or (match[2] == "b" and match[3]):
        raise UserError(
            f"takes 5c for 5 clusters, 5c@0.5 for 5 clusters with half of the weights, or 4b for"
            f" 4 bits, got {code!r}"
        )
    if match[2] == "b":
        return {"bits": int(match[1])}
    density = {"density": float(match[3])} if match[3] else {}
    return {"clusters": int(match[1]), **density}


def index_bits(choice: Mapping[Any, float]) -> float:
    """Return the bits of an index of fixed length, so that clusters and bits compare.

    Of n clusters it is the logarithm of n to the base 2. Removed weights are not counted.
    """
    return choice["bits"] if "bits" in choice else math.log2(choice["clusters"])


def only_unit(choices: LayerChoices) -> str | None:
    """Return "clusters" or "bits" if all layers have nothing else; None for a mixed choice."""
    units = {unit for choice in choices.values() for unit in choice}
    return units.pop() if len(units) == 1 else None
