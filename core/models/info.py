"""Facts about a network that can be read without building it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Facts about one network.

    name: its name in the registry. parameters: number of trained parameters, for `classes` classes.
    macs: multiply-adds for one image of 3 x `side` x `side`, as `core.forecast.cost` counts them.
    description: one sentence for the person who chooses. min_side: height and width in pixels of
    the smallest images that it takes. fixed_side: whether it takes only images of exactly `side`.
    """

    name: str
    parameters: int
    macs: int
    description: str
    classes: int = 10
    side: int = 32
    min_side: int = 1
    fixed_side: bool = False
