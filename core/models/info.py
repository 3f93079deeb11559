"""What is known about a network before it is built."""

from dataclasses import dataclass


@dataclass(frozen=True)
class ModelInfo:
    """Facts about one network, with `classes` classes and for one image of 3 x `side` x `side`.

    `parameters` counts everything that is trained; `macs` the multiply-adds that `core.inspect.cost` counts.
    Square images from `min_side` on pass through it, or of exactly `side` if it is `fixed`.
    """

    name: str
    parameters: int
    macs: int
    description: str
    classes: int = 10
    side: int = 32
    min_side: int = 1
    fixed: bool = False
