"""The recipes: one frozen, validated description for everything that can be run.

A form, a command line and a file on disk all become one of these before anything starts; inside, nothing is checked
again. Each field carries its unit and its meaning, which the forms show as help texts.
"""

import os
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError

from core.errors import UserError

Method = Literal["snip", "iterative-snip", "synflow", "magnitude", "random"]
Schedule = Literal["step", "cosine", "onecycle"]
Device = Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")]
PerChannel = tuple[float, float, float]  # of red, green and blue, for pixels in [0, 1]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Prune(_Frozen):
    """Which weights to remove before the first training step, and how to choose them."""

    method: Method = Field("snip", description=(
        "How a weight's importance is scored, before any training. snip: |weight x gradient| on a batch; "
        "iterative-snip: the same in rounds; synflow: without data; magnitude: |weight|; random: a lottery."))
    density: float = Field(0.05, gt=0, le=1, description="Fraction of the prunable weights that is kept, in (0, 1].")
    layerwise: bool = Field(False, description=(
        "Keep the same fraction in every layer. Otherwise all layers compete, and the ones that matter keep more."))
    batch_size: int | None = Field(None, ge=1, le=65536, description=(
        "Images in a scoring batch; the training batch size if not set."))
    batches: int = Field(1, ge=1, le=1000, description="Training batches whose gradients are summed for the scores.")
    rounds: int | None = Field(None, ge=1, le=1000, description=(
        "Rounds of the iterative methods: 20 for iterative-snip and 100 for synflow if not set."))


class TrainRecipe(_Frozen):
    """Train a network from its seed on a data set, pruned before the first step or dense."""

    kind: Literal["train"] = "train"
    model: str = Field("VGG16", min_length=1, description="The network, by its name in the registry.")
    dataset: str = Field("CIFAR10", min_length=1, description="The data set, by its name.")
    prune: Prune | None = Field(Prune(), description="The pruning before training; none for a dense network.")
    epochs: int = Field(70, ge=1, le=10_000, description="Passes over the training images.")
    batch_size: int = Field(128, ge=2, le=65536, description="Images in a training step.")
    lr: float = Field(0.1, gt=0, le=100, description="Learning rate at the start (the peak, for one-cycle).")
    momentum: float = Field(0.9, ge=0, lt=1, description="Momentum of stochastic gradient descent.")
    weight_decay: float = Field(5e-4, ge=0, le=10, description="L2 penalty on all parameters.")
    schedule: Schedule = Field("step", description=(
        "step: times gamma after every `step` epochs; cosine: down to zero; onecycle: up, then down to zero."))
    step: int = Field(20, ge=1, le=10_000, description="Epochs between two drops of the step schedule.")
    gamma: float = Field(0.1, gt=0, le=1, description="Factor of each drop of the step schedule.")
    label_smoothing: float = Field(0.0, ge=0, lt=1, description="Probability mass spread over all classes.")
    augment: bool | None = Field(None, description=(
        "Random crops (4 pixels of padding) and flips; the data set's own habit if not set."))
    train_images: int | None = Field(None, ge=2, description=(
        "Train on this many images only, the same ones for a seed; all if not set. For a first try on a slow machine."))
    seed: int = Field(0, ge=0, lt=2**63, description="Of the weights, the order of the images and the augmentation.")
    keep_every: int = Field(1, ge=0, le=10_000, description=(
        "Epochs between two whose weights are kept, to look back at what the network saw then; 0 keeps none."))
    keep_mb: int = Field(200, ge=1, le=1_000_000, description=(
        "Megabytes that the kept epochs may take up. Beyond, every second one goes, and the rest still spans the "
        "training."))
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:1 ..., or mps.")

    @property
    def density(self) -> float:
        """Fraction of the prunable weights that is kept; 1 for a dense network."""
        return self.prune.density if self.prune else 1.0


class ImportRecipe(_Frozen):
    """Take over a network that was trained elsewhere, and test it."""

    kind: Literal["import"] = "import"
    file: str = Field(min_length=1, max_length=200, description="The checkpoint's own file name.")
    model: str = Field(min_length=1, description="The network, by its name in the registry.")
    dataset: str = Field(min_length=1, description="The data set that it was trained on, and is tested on here.")
    mean: PerChannel = Field(description="Subtracted from the pixels, one number a channel, for pixels in [0, 1].")
    std: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] = Field(
        description="What the pixels are then divided by, one number a channel.")
    by_order: bool = Field(False, description=(
        "Match tensors whose names differ by their order and shapes. Look at the matches before you trust them."))
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:1 ..., or mps.")
    epochs: ClassVar[int] = 0


class _Quantize(_Frozen):
    """What both ways of quantizing a trained network have in common."""

    batchnorm: bool = Field(False, description=(
        "Also the BatchNorm weights, as the original scripts did. They are few, so this saves next to nothing, and "
        "each scales a whole channel, so it costs accuracy."))
    recalibrate: bool = Field(True, description=(
        "Re-estimate BatchNorm's running mean and variance on training images: they describe the weights as they were "
        "before."))
    rest: Literal["float32", "float16"] = Field("float32", description=(
        "How the packed file keeps the numbers that are not quantized, such as biases and BatchNorm."))
    seed: int = Field(0, ge=0, lt=2**63, description="Of the clustering's start and the order of the images.")
    device: Device = Field("auto", description="auto, cpu, cuda, cuda:1 ..., or mps.")


def _none_or_some(clusters: int) -> int:
    if clusters != 0 and not 2 <= clusters <= 256:
        raise PydanticCustomError("clusters", "must be 0 or in [2, 256]")
    return clusters


class KMeansRecipe(_Quantize):
    """Share the weights of each layer by k-means, and tune them to it."""

    kind: Literal["kmeans"] = "kmeans"
    clusters: int = Field(5, ge=2, le=256, description="Different values that a layer's weights may have, 0 aside.")
    init: Literal["linear", "k-means++", "density", "optimal"] = Field("linear", description=(
        "Where the centroids start. linear: evenly over the range; k-means++: far from each other, at random; density: "
        "as many weights between any two; optimal: not a start, but the best codebook there is, by dynamic "
        "programming."))
    keep_zeros: bool = Field(True, description=(
        "Pruned weights stay exactly 0, beside the clusters. Otherwise they are clustered like all others."))
    layers: dict[str, Annotated[int, AfterValidator(_none_or_some)]] = Field(default_factory=dict, description=(
        "Clusters of single layers, by parameter name; 0 leaves a layer as it is."))
    epochs: int = Field(0, ge=0, le=1000, description=(
        "Epochs of tuning: the network as it was teaches the quantized one, whose weights may change cluster. "
        "0 leaves it at clustering."))
    lr: float = Field(0.01, gt=0, le=10, description="Learning rate at the start of tuning; a cosine down to zero.")
    batch_size: int = Field(128, ge=2, le=65536, description="Images in a tuning step.")
    train_images: int | None = Field(None, ge=2, description=(
        "Tune on this many images only, the same ones for a seed; all if not set."))


class AffineRecipe(_Quantize):
    """Round the weights to a grid of 2 to 8 bits: a scale and a zero point."""

    kind: Literal["affine"] = "affine"
    bits: int = Field(8, ge=2, le=8, description="Bits a weight; the grid has 2 to the power of that many values.")
    per_channel: bool = Field(True, description=(
        "A scale for every output channel; otherwise one for the whole layer. Shared weights keep one a layer: it is "
        "their centroids that are rounded."))
    symmetric: bool = Field(False, description="The same range on both sides of 0, so that the zero point is fixed.")
    range: Literal["minmax", "mse"] = Field("minmax", description=(
        "The range that the grid spans. minmax: all weights; mse: narrower, where that lowers the squared error."))
    layers: dict[str, Literal[0, 2, 3, 4, 5, 6, 7, 8]] = Field(default_factory=dict, description=(
        "Bits of single layers, by parameter name; 0 leaves a layer as it is."))
    recalibrate: bool = Field(False, description=_Quantize.model_fields["recalibrate"].description)
    epochs: ClassVar[int] = 0


Recipe = Annotated[TrainRecipe | ImportRecipe | KMeansRecipe | AffineRecipe, Field(discriminator="kind")]
Quantizing = KMeansRecipe | AffineRecipe

_T = TypeVar("_T", bound=BaseModel)


def validated(kind: type[_T], values: dict[str, Any], names: dict[str, str] | None = None) -> _T:
    """`kind(**values)`, with its first error as one sentence.

    `names` maps a field's dotted path ("prune.density") to the word that the person typed ("--retrain").
    Raises UserError, such as "--retrain must be in (0, 1], got 5".
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        path = ".".join(str(part) for part in first["loc"])
        raise UserError(f"{(names or {}).get(path, path)} {_complaint(kind, first)}, got {first['input']!r}") from None


def _complaint(kind: type[BaseModel], error: dict) -> str:
    """What a value must be, in words: the whole range of a number rather than the one bound that it broke."""
    if error["type"] == "extra_forbidden":
        return "is not a setting"
    field = _field(kind, error["loc"])
    bounds = {name: getattr(item, name) for item in (field.metadata if field else ())
              for name in ("gt", "ge", "lt", "le") if hasattr(item, name)}
    low, high = bounds.get("gt", bounds.get("ge")), bounds.get("lt", bounds.get("le"))
    if low is not None and high is not None:
        return f"must be in {'(' if 'gt' in bounds else '['}{low}, {high}{')' if 'lt' in bounds else ']'}"
    if low is not None:
        return f"must be {'more than' if 'gt' in bounds else 'at least'} {low}"
    if error["type"] == "string_pattern_mismatch":
        return f"must be {field.description.rstrip('.')}"
    return error["msg"].replace("Input should be", "must be").replace("Value should", "must")


def _field(kind: type[BaseModel], path: tuple):
    """The field at a dotted path through nested models, or None."""
    field = None
    for part in path:
        field = getattr(kind, "model_fields", {}).get(part)
        if field is None:
            return None
        kind = next((arg for arg in (field.annotation, *getattr(field.annotation, "__args__", ()))
                     if isinstance(arg, type) and issubclass(arg, BaseModel)), kind)
    return field


def runs_root(folder: str | Path | None = None) -> Path:
    """Where runs live: the argument, else `SECATEUR_RUNS`, else `runs/` beside the app."""
    return Path(folder or os.environ.get("SECATEUR_RUNS") or _beside_the_app("runs")).expanduser().absolute()


def data_root(folder: str | Path | None = None) -> Path:
    """Where data sets live: the argument, else `SECATEUR_DATA`, else `data/` beside the app."""
    return Path(folder or os.environ.get("SECATEUR_DATA") or _beside_the_app("data")).expanduser().absolute()


def _beside_the_app(name: str) -> Path:
    return Path(__file__).resolve().parent.parent / name
