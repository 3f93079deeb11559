"""Types of settings that several recipes share."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field
from pydantic_core import PydanticCustomError

Method = Literal[
    "snip",
    "iterative-snip",
    "force",
    "grasp",
    "synflow",
    "magnitude",
    "erk",
    "uniform+",
    "random",
    "snip-shuffled",
    "snip-reinitialized",
    "channel-snip",
    "channel-magnitude",
]
"""The names of the pruning methods. `core.compress.pruning.methods` has the facts about them."""

Pattern = Literal["free", "2:4", "1:4"]
"""Where kept weights are: anywhere, or so many of each four along the input channels."""

PATTERN_DENSITIES: dict[str, float] = {"2:4": 0.5, "1:4": 0.25}
"""The density of the layers that a pattern prunes."""

ScoreMode = Literal["eval", "train"]
"""The mode of a network while its weights are scored, which decides what BatchNorm does."""

Schedule = Literal["step", "cosine", "onecycle"]

Precision = Literal["float32", "bfloat16"]
"""The number format of the convolutions and linear layers in a training step."""

Rounding = Literal["compensated", "nearest"]

PrecisionChoice = Literal["auto", "float32", "bfloat16"]

PerChannel = tuple[float, float, float]
"""Numbers for red, green and blue, for pixels in [0, 1]."""


def _check_device(device: str) -> str:
    if not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise PydanticCustomError("device", "must be auto, cpu, cuda, cuda:1 ..., or mps")
    return device


def _check_clusters(clusters: int) -> int:
    if clusters != 0 and not 2 <= clusters <= 256:
        raise PydanticCustomError("clusters", "must be 0 or in [2, 256]")
    return clusters


Device = Annotated[
    str,
    AfterValidator(_check_device),
    Field(description="Device that does the work: auto, cpu, cuda, cuda:1 ..., or mps."),
]
Seed = Annotated[int, Field(ge=0, lt=2**63)]
Positive = Annotated[float, Field(gt=0)]
LayerClusters = Annotated[int, AfterValidator(_check_clusters)]
LayerBits = Literal[0, 2, 3, 4, 5, 6, 7, 8]


class FrozenModel(BaseModel):
    """A model that cannot be changed and refuses settings that it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
