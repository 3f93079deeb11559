"""The recipes: a frozen, validated description of each thing that can be run.

A form, a command line and a file all become a recipe before anything starts. After that nothing is
validated again. The description of a field is its help text in the forms and in `--help`.
"""

import os
import re
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails, PydanticCustomError

from core.errors import UserError

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


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Prune(_Frozen):
    """The choice of the weights that are removed before the first training step."""

    method: Method = Field(
        default="snip",
        description=(
            "How the importance of a weight is scored. snip: |weight x gradient| on a batch."
            " iterative-snip: the same in several rounds. force: in rounds in which cut weights can"
            " come back. grasp: by what the gradient would lose. synflow: without images."
            " magnitude: |weight|. random: by chance. erk: by chance, with more of the small"
            " layers. uniform+: by chance, with a dense first convolution. snip-shuffled: as many"
            " of each layer as snip, by chance. snip-reinitialized: as snip, with new initial"
            " weights. channel-snip, channel-magnitude: the same scores, summed over each output"
            " channel; whole channels are cut, so that the network can be made smaller and faster."
        ),
    )
    density: float = Field(
        default=0.05,
        gt=0,
        le=1,
        description="Fraction of the prunable weights that is kept, in (0, 1].",
    )
    layerwise: bool = Field(
        default=False,
        description=(
            "Keep the same fraction of the weights in every layer. Otherwise the weights of all"
            " layers compete, and important layers keep more. erk, uniform+ and the two methods"
            " that cut channels set the fraction of each layer themselves, so they cannot be"
            " layerwise."
        ),
    )
    batch_size: int | None = Field(
        default=None,
        ge=1,
        le=65536,
        description="Images in a scoring batch. If not set: the training batch size.",
    )
    batches: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description=(
            "Batches whose gradients are summed for the scores. If not set: as many as it takes for"
            " 10 images of each class."
        ),
    )
    score_mode: ScoreMode = Field(
        default="eval",
        description=(
            "Mode of the network while it is scored. eval: BatchNorm uses its running statistics,"
            " which are 0 and 1 before training. train: it uses those of the batch, with which"
            " VGG16 at a density of 1% loses all channels of a deep layer."
        ),
    )
    augment: bool = Field(
        default=True,
        description=(
            "Score the images cropped and flipped, if the training does that. Otherwise as they"
            " are."
        ),
    )
    rounds: int | None = Field(
        default=None,
        ge=1,
        le=1000,
        description=(
            "Rounds of the iterative methods. If not set: 20 for iterative-snip, 20 for force, 100"
            " for synflow."
        ),
    )


class TrainRecipe(_Frozen):
    """Train a network from random weights on a data set, after pruning it if wanted."""

    kind: Literal["train"] = "train"
    model: str = Field(default="VGG16", min_length=1, description="Name of the network.")
    dataset: str = Field(default="CIFAR10", min_length=1, description="Name of the data set.")
    prune: Prune | None = Field(
        default=Prune(),
        description="The pruning before training. None for a dense network.",
    )
    epochs: int = Field(default=70, ge=1, le=10_000, description="Passes over the training images.")
    batch_size: int = Field(default=128, ge=2, le=65536, description="Images in a training step.")
    lr: float = Field(
        default=0.1,
        gt=0,
        le=100,
        description="Learning rate at the start, or at the peak of the onecycle schedule.",
    )
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="Momentum of stochastic gradient descent."
    )
    weight_decay: float = Field(
        default=5e-4, ge=0, le=10, description="L2 penalty on all parameters."
    )
    schedule: Schedule = Field(
        default="step",
        description=(
            "Course of the learning rate. step: multiplied by gamma after every `step` epochs."
            " cosine: down to zero. onecycle: up, then down to zero."
        ),
    )
    step: int = Field(
        default=20, ge=1, le=10_000, description="Epochs between two drops of the step schedule."
    )
    gamma: float = Field(
        default=0.1, gt=0, le=1, description="Factor of each drop of the step schedule."
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, lt=1, description="Probability that is spread over all classes."
    )
    augment: bool | None = Field(
        default=None,
        description=(
            "Random crops (after padding by 4 pixels) and flips. If not set: as is usual for the"
            " data set."
        ),
    )
    train_images: int | None = Field(
        default=None,
        ge=2,
        description=(
            "Number of training images, the same ones for the same seed. If not set: all. Fewer"
            " images make a first try on a slow machine possible."
        ),
    )
    validation: int = Field(
        default=0,
        ge=0,
        description=(
            "Number of training images that are held back: they are never trained on, nor used for"
            " scores. The best epoch is chosen by them, and the test images only report. With 0"
            " it is chosen on the test images, which is optimistic."
        ),
    )
    seed: Seed = Field(
        default=0,
        description=(
            "Seed of the weights, the order of the images, the augmentation and the choice of"
            " images that are held back."
        ),
    )
    keep_every: int = Field(
        default=1,
        ge=0,
        le=10_000,
        description=(
            "Every how many epochs the weights are kept, so that Activations can show what the"
            " network saw then. 0 keeps none."
        ),
    )
    keep_mb: int = Field(
        default=200,
        ge=1,
        le=1_000_000,
        description=(
            "Megabytes that the kept epochs may take up. If they need more, every second one is"
            " deleted, and the rest still spans the training."
        ),
    )
    precision: PrecisionChoice = Field(
        default="auto",
        description=(
            "Number format of the training steps. auto: bfloat16 on a CUDA GPU; on a CPU that"
            " computes in bfloat16 both are timed first, and the faster one trains. Weights and"
            " tests are always float32."
        ),
    )
    device: Device = "auto"

    @property
    def density(self) -> float:
        """The fraction of the prunable weights that is kept; 1 for a dense network."""
        return self.prune.density if self.prune else 1.0


class ImportRecipe(_Frozen):
    """Import a network that was trained elsewhere, and test it."""

    kind: Literal["import"] = "import"
    file: str = Field(
        min_length=1, max_length=200, description="File name that the checkpoint came with."
    )
    model: str = Field(min_length=1, description="Name of the network.")
    dataset: str = Field(
        min_length=1,
        description="Data set that it was trained on. Its test images are used here.",
    )
    mean: PerChannel = Field(
        description="Numbers subtracted from the channels of the pixels, for pixels in [0, 1]."
    )
    std: tuple[Positive, Positive, Positive] = Field(
        description="Numbers that the channels of the pixels are then divided by."
    )
    by_order: bool = Field(
        default=False,
        description=(
            "Match tensors whose names differ by their order and shapes. Check the matches before"
            " you trust them."
        ),
    )
    device: Device = "auto"
    epochs: ClassVar[int] = 0


class _Quantize(_Frozen):
    """The settings that both ways of quantizing a trained network share."""

    batchnorm: bool = Field(
        default=False,
        description=(
            "Quantize the BatchNorm weights too, as the original scripts did. They are few, so this"
            " saves next to nothing, and each scales a whole channel, so it costs accuracy."
        ),
    )
    rounding: Rounding = Field(
        default="compensated",
        description=(
            "How weights are rounded. nearest: each by itself. compensated: so that the outputs of"
            " the layer stay the same on training images; weights make up for each other's errors."
            " It needs no labels."
        ),
    )
    round_images: int = Field(
        default=1024,
        ge=2,
        le=1_000_000,
        description="Training images for compensated rounding, the same ones for the same seed.",
    )
    recalibrate: Literal["auto"] | bool = Field(
        default="auto",
        description=(
            "Estimate BatchNorm's running mean and variance again on training images. The old ones"
            " belong to the weights before quantization. auto: as far as it brings the answers"
            " closer to those of the float network, on other training images."
        ),
    )
    epochs: int = Field(
        default=0,
        ge=0,
        le=1000,
        description=(
            "Epochs of tuning. The original network teaches the quantized one, whose weights may"
            " move to another cluster or level. 0 does not tune."
        ),
    )
    lr: float = Field(
        default=0.01,
        gt=0,
        le=10,
        description="Learning rate at the start of tuning. It falls to zero along a cosine.",
    )
    batch_size: int = Field(default=128, ge=2, le=65536, description="Images in a tuning step.")
    train_images: int | None = Field(
        default=None,
        ge=2,
        description=(
            "Number of images for tuning, the same ones for the same seed. If not set: all."
        ),
    )
    rest: Literal["float32", "float16"] = Field(
        default="float32",
        description=(
            "Number format of everything in the packed file that is not quantized, such as biases"
            " and BatchNorm."
        ),
    )
    seed: Seed = Field(
        default=0, description="Seed of the clustering and of the order of the images."
    )
    device: Device = "auto"


class KMeansRecipe(_Quantize):
    """Share the weights of each layer by k-means, and tune the shared values if wanted."""

    kind: Literal["kmeans"] = "kmeans"
    clusters: int = Field(
        default=5,
        ge=2,
        le=256,
        description="Number of different values of a layer's weights, not counting 0.",
    )
    init: Literal["linear", "k-means++", "density", "optimal", "fisher", "auto"] = Field(
        default="linear",
        description=(
            "Start of the centroids. linear: evenly over the range. k-means++: at random, far from"
            " each other. density: the same number of weights between any two. optimal: the best"
            " codebook there is, by dynamic programming. fisher: the same, with each weight's error"
            " weighted by how much the predictions depend on it (Fisher information, on the images"
            " for rounding). auto: linear or fisher, whichever keeps the answers closer to those of"
            " the float network, on other training images."
        ),
    )
    keep_zeros: bool = Field(
        default=True,
        description=(
            "Keep pruned weights exactly 0, outside the clusters. Otherwise they are clustered like"
            " all others."
        ),
    )
    layers: dict[str, LayerClusters] = Field(
        default_factory=dict,
        description="Clusters of single layers, by parameter name. 0 does not quantize a layer.",
    )


class AffineRecipe(_Quantize):
    """Round the weights to 2 to 8 bits, with a scale and a zero point."""

    kind: Literal["affine"] = "affine"
    bits: int = Field(
        default=8,
        ge=2,
        le=8,
        description="Bits per weight. There are 2 to the power of `bits` quantization levels.",
    )
    per_channel: bool = Field(
        default=True,
        description=(
            "Use a scale for every output channel, otherwise one for the whole layer. Layers with"
            " shared weights always have one, because their centroids are rounded."
        ),
    )
    symmetric: bool = Field(
        default=False,
        description="Use the same range on both sides of 0, so that the zero point is 0.",
    )
    range: Literal["minmax", "mse"] = Field(
        default="minmax",
        description=(
            "Range of the quantization levels. minmax: all weights. mse: a narrower range if that"
            " lowers the squared error."
        ),
    )
    layers: dict[str, LayerBits] = Field(
        default_factory=dict,
        description="Bits of single layers, by parameter name. 0 does not quantize a layer.",
    )


class AnswersRecipe(_Frozen):
    """Test the parent's network on all test images, and keep its answer for each of them."""

    kind: Literal["answers"] = "answers"
    device: Device = "auto"
    epochs: ClassVar[int] = 0


class Int8Recipe(_Frozen):
    """Make an ONNX file of the parent's network whose layers run in 8-bit integers, and test it."""

    kind: Literal["int8"] = "int8"
    images: int = Field(
        default=512,
        ge=1,
        le=100_000,
        description=(
            "Training images, as they are, on which the range of every activation is measured. The"
            " same ones for the same seed, never test images."
        ),
    )
    float_first: bool = Field(
        default=False,
        description="Keep the first layer, which sees the pixels, in float.",
    )
    float_last: bool = Field(
        default=False,
        description="Keep the last layer, which gives the logits, in float.",
    )
    seed: Seed = Field(default=0, description="Seed of the choice of images.")
    device: Literal["cpu"] = Field(
        default="cpu", description="Integer layers run on the processor alone."
    )
    epochs: ClassVar[int] = 0


class LatencyRecipe(_Frozen):
    """Measure how fast the parent's network runs here: in PyTorch, ONNX Runtime, and 8 bits."""

    kind: Literal["latency"] = "latency"
    batch_sizes: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(
        default=(1, 32),
        min_length=1,
        max_length=8,
        description="Images in one call. Each size is measured by itself.",
    )
    threads: int | None = Field(
        default=None,
        ge=1,
        le=1024,
        description="Threads that compute one call. If not set: one for each processor core.",
    )
    seconds: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        description=(
            "Time for measuring at each batch size. All forms of the network run in turn, at least"
            " 20 times each, however long that takes."
        ),
    )
    compiled: bool = Field(
        default=False,
        description=(
            "Measure the network under torch.compile too. It needs a C++ compiler, and up to some"
            " minutes to compile."
        ),
    )
    seed: Seed = Field(
        default=0, description="Seed of the intervals and of the choice of calibration images."
    )
    device: Literal["cpu"] = Field(
        default="cpu", description="Speed is compared on the processor, where all forms run."
    )
    epochs: ClassVar[int] = 0


Recipe = Annotated[
    TrainRecipe
    | ImportRecipe
    | KMeansRecipe
    | AffineRecipe
    | Int8Recipe
    | AnswersRecipe
    | LatencyRecipe,
    Field(discriminator="kind"),
]
QuantizeRecipe = KMeansRecipe | AffineRecipe
QuantizeKind = Literal["kmeans", "affine"]

_RecipeT = TypeVar("_RecipeT", bound=BaseModel)


# -- validation --


def validate_recipe(
    recipe_type: type[_RecipeT], values: dict[str, Any], names: dict[str, str] | None = None
) -> _RecipeT:
    """Make a recipe of `values`. Raises UserError that describes the first error in one sentence.

    `names` maps the dotted path of a field ("prune.density") to the word that the person typed
    ("--retrain"). A sentence is for example "--retrain must be in (0, 1], got 5".
    """
    try:
        return recipe_type.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
    path = ".".join(str(part) for part in first["loc"])
    name = (names or {}).get(path, path)
    complaint = _complaint(recipe_type, first)
    raise UserError(f"{name} {complaint}, got {first['input']!r}{_percent_hint(complaint, first)}")


def _complaint(recipe_type: type[BaseModel], error: ErrorDetails) -> str:
    """Say what a value must be. A number's whole range is more useful than the bound it broke."""
    if error["type"] == "extra_forbidden":
        return "is not a setting"
    field = _field_at(recipe_type, error["loc"])
    number_range = _range_in_words(field) if field else None
    if number_range:
        return f"must be {number_range}"
    return error["msg"].replace("Input should be", "must be").replace("Value should", "must")


def _percent_hint(complaint: str, error: ErrorDetails) -> str:
    """Ask for the fraction that was meant where a percentage was given, such as 50 for 0.5."""
    value = error["input"]
    if not complaint.endswith("in (0, 1]") or not isinstance(value, int | float):
        return ""
    return f": did you mean {value / 100:g}?" if 1 < value <= 100 else ""


def _range_in_words(field: FieldInfo) -> str | None:
    """Return "in (0, 1]", "at least 2" or "more than 0"; None for a field without a lower bound."""
    bounds: dict[str, Any] = {}
    for constraint in field.metadata:
        for name in ("gt", "ge", "lt", "le"):
            if hasattr(constraint, name):
                bounds[name] = getattr(constraint, name)
    low = bounds.get("gt", bounds.get("ge"))
    high = bounds.get("lt", bounds.get("le"))
    if low is None:
        return None
    if high is None:
        return f"more than {low}" if "gt" in bounds else f"at least {low}"
    opening = "(" if "gt" in bounds else "["
    closing = ")" if "lt" in bounds else "]"
    return f"in {opening}{low}, {high}{closing}"


def _field_at(model: type[BaseModel], path: tuple[int | str, ...]) -> FieldInfo | None:
    """Find the field at a path through nested models, or return None."""
    field = None
    for part in path:
        field = model.model_fields.get(str(part))
        if field is None:
            return None
        model = _nested_model(field) or model
    return field


def _nested_model(field: FieldInfo) -> type[BaseModel] | None:
    """Return the model that a field holds, such as Prune for `Prune | None`."""
    for option in (field.annotation, *get_args(field.annotation)):
        if isinstance(option, type) and issubclass(option, BaseModel):
            return option
    return None


# -- folders --


def runs_root(folder: str | Path | None = None) -> Path:
    """Return the folder of the runs: the argument, `SECATEUR_RUNS`, or `runs/` next to the app."""
    return _root(folder, "SECATEUR_RUNS", "runs")


def data_root(folder: str | Path | None = None) -> Path:
    """Return the folder of the data: the argument, `SECATEUR_DATA`, or `data/` next to the app."""
    return _root(folder, "SECATEUR_DATA", "data")


def _root(folder: str | Path | None, variable: str, default: str) -> Path:
    app = Path(__file__).resolve().parent.parent
    root = folder or os.environ.get(variable) or app / default
    return Path(root).expanduser().absolute()
