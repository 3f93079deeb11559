"""The recipe that finds clusters or bits for each layer, under a budget."""

from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from core.config.fields import Device, FrozenModel, Seed

BudgetKind = Literal["share", "round", "prune"]
"""The ways to make a layer smaller: share its weights by k-means, round them to bits, or remove
most weights and share the others.
"""

NOTHING_FITS = "No choice of clusters and bits gives a file of"
"""How the error of a limit begins that is below the smallest file of a network. A sweep counts the
runs that ended so.
"""


def _check_choice(choice: dict[str, float]) -> dict[str, float]:
    """Raise a plain error for what is no choice of a layer."""
    clusters = choice.get("clusters", 2)
    bits = choice.get("bits", 2)
    density = choice.get("density", 1.0)
    is_known = choice.keys() in ({"clusters"}, {"bits"}, {"clusters", "density"})
    is_whole = clusters == int(clusters) and bits == int(bits)
    in_range = 2 <= clusters <= 256 and 2 <= bits <= 8 and 0 < density <= 1
    if not (is_known and is_whole and in_range):
        raise PydanticCustomError(
            "choice",
            "takes 2 to 256 clusters, perhaps with a density above 0 and up to 1, or 2 to 8 bits",
        )
    return choice


LayerChoice = Annotated[dict[str, float], AfterValidator(_check_choice)]
"""{"clusters": 5}, {"clusters": 5, "density": 0.5} or {"bits": 4}."""


class BudgetRecipe(FrozenModel):
    """Quantize a network within a limit, and make the best of what the limit leaves open.

    Exactly one of `bytes`, `smaller`, `lose`, `faster` and `layers` is set.
    """

    kind: Literal["budget"] = "budget"
    bytes: int | None = Field(
        default=None,
        ge=1,
        description="Limit: the packed file has at most so many bytes. The wish: the best answers.",
    )
    smaller: float | None = Field(
        default=None,
        gt=1,
        le=10_000,
        description=(
            "Limit: the packed file is at least so many times smaller than the float network. The"
            " wish: the best answers."
        ),
    )
    lose: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description=(
            "Limit: the accuracy falls by at most so many percentage points, on one half of the"
            " test images and even at the end of the 95% interval. The wish: the fewest bytes. The"
            " other half reports."
        ),
    )
    faster: float | None = Field(
        default=None,
        gt=1,
        le=1000,
        description=(
            "Limit: without its removed channels, the network runs at least so many times faster"
            " than before, in float on this machine, one image at a time, even at the lower end of"
            " the 95% interval. The wish: the best answers. Only whole channels are removed, so"
            " kinds, images and trials have no meaning then."
        ),
    )
    minutes: float = Field(
        default=2,
        gt=0,
        le=10_000,
        description=(
            "Time to spend on the search and on tuning, in minutes. The tests of the result come on"
            " top. More time tries more. With a limit of time, tuning has half of it, even if the"
            " search takes longer."
        ),
    )
    kinds: tuple[BudgetKind, ...] = Field(
        default=("share", "round"),
        min_length=1,
        description=(
            "What a layer may get. share: 2 to 64 clusters of k-means. round: 2 to 8 bits. prune:"
            " weights are removed as well, down to a tenth, and the others shared, so it needs"
            " share. With several, the search chooses for each layer."
        ),
    )
    layers: dict[str, LayerChoice] = Field(
        default_factory=dict,
        description=(
            "In place of a limit: a choice for each layer, by parameter name, such as clusters of"
            " 5, bits of 4, or clusters of 5 with a density of 0.5. Nothing is searched then."
            " Layers that are not named stay as they are, in the format of the rest."
        ),
    )
    images: int | None = Field(
        default=None,
        ge=2,
        le=1_000_000,
        description=(
            "Training images on which layers are rounded and measured, without labels. If not set:"
            " as many as the time allows, at most 1,024."
        ),
    )
    trials: int | None = Field(
        default=None,
        ge=0,
        le=100_000,
        description=(
            "Exchanges of bytes between layers that are tried on the whole network. If not set: as"
            " many as the time allows."
        ),
    )
    tuning_epochs: int | None = Field(
        default=None,
        ge=0,
        le=1000,
        description=(
            "Epochs of tuning, with the float network as its teacher. From 6 on, the two best"
            " choices share them: a quarter each, and the better one takes the rest. With a limit"
            " of accuracy, each size that is tried has so many. If not set: as many as the time"
            " allows."
        ),
    )
    lr: float = Field(
        default=0.01,
        gt=0,
        le=10,
        description="Learning rate at the start of tuning. It falls to zero along a cosine.",
    )
    batch_size: int = Field(default=128, ge=2, le=65536, description="Images in a tuning step.")
    rest: Literal["float32", "float16"] = Field(
        default="float16",
        description=(
            "Number format of everything in the packed file that is not quantized, such as biases"
            " and BatchNorm."
        ),
    )
    seed: Seed = Field(default=0, description="Seed of the choice and of the order of the images.")
    device: Device = "auto"
    epochs: ClassVar[int] = 0
    """How many epochs there will be is only known once the search has begun."""

    def byte_limit(self, float_bytes: int | None) -> int | None:
        """Return the most bytes that the packed file may have; None without such a limit.

        float_bytes: of the network, None if they are not known.
        """
        if self.smaller is not None:
            return None if float_bytes is None else int(float_bytes / self.smaller)
        return self.bytes

    @property
    def is_counted(self) -> bool:
        """Whether the recipe says how much to do, so that the clock decides nothing."""
        return None not in (self.images, self.trials, self.tuning_epochs)

    @model_validator(mode="after")
    def _check_limit(self) -> Self:
        limits = (self.bytes, self.smaller, self.lose, self.faster)
        given = [limit for limit in limits if limit is not None]
        if len(given) + bool(self.layers) != 1:
            raise PydanticCustomError(
                "limit", "takes exactly one of bytes, smaller, lose, faster and layers"
            )
        if len(set(self.kinds)) < len(self.kinds):
            raise PydanticCustomError("kinds", "takes each of its kinds once")
        if self.kinds == ("prune",) or set(self.kinds) == {"prune", "round"}:
            raise PydanticCustomError("kinds", "takes prune with share only, which follows it")
        return self
