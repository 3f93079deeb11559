"""The recipes that make a first network: training, and importing a checkpoint."""

from typing import Any, ClassVar, Literal

from pydantic import Field, ValidationInfo, field_validator, model_validator
from pydantic_core import PydanticCustomError

from core.config.fields import (
    PATTERN_DENSITIES,
    Device,
    FrozenModel,
    Method,
    Pattern,
    PerChannel,
    Positive,
    PrecisionChoice,
    Schedule,
    ScoreMode,
    Seed,
)


class Prune(FrozenModel):
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
    pattern: Pattern = Field(
        default="free",
        description=(
            "Which weights may stay. free: any. 2:4, 1:4: two or one of each four in a row along"
            " the input channels, in every layer whose input channels are a multiple of four; the"
            " other layers stay dense. The density is then 0.5 or 0.25. NVIDIA GPUs from Ampere on"
            " (sparse tensor cores) run 2:4 faster, in 16-bit floats and 8-bit integers, if"
            " TensorRT or cuSPARSELt is told to; no hardware for 1:4 is known."
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

    @model_validator(mode="before")
    @classmethod
    def _take_density_of_pattern(cls, values: Any) -> Any:
        """A density that is not given is that of the pattern."""
        if not isinstance(values, dict) or "density" in values:
            return values
        density = PATTERN_DENSITIES.get(str(values.get("pattern")))
        return values if density is None else values | {"density": density}

    @field_validator("density")
    @classmethod
    def _check_density_of_pattern(cls, density: float, info: ValidationInfo) -> float:
        pattern = info.data.get("pattern")
        expected = PATTERN_DENSITIES.get(str(pattern), density)
        if density != expected:
            raise PydanticCustomError(
                "pattern", f"must be {expected} with the pattern {pattern}, or left out"
            )
        return density


class TrainRecipe(FrozenModel):
    """Train a network from random weights on a data set, after pruning it if wanted."""

    kind: Literal["train"] = "train"
    model: str = Field(
        default="VGG16",
        min_length=1,
        description=(
            "Name of the network: one of Secateur or of torchvision, one of timm as timm/resnet18,"
            " or that of your own file in the folder SECATEUR_MODELS."
        ),
    )
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
    devices: int = Field(
        default=1,
        ge=1,
        le=64,
        description=(
            "Number of GPUs, from cuda:0 on, that train the network together: each takes its share"
            " of every batch, in a process of its own. Batch size and result stay those of one GPU,"
            " except for rounding and dropout. On the CPU: number of processes. Not on Windows."
        ),
    )

    @property
    def density(self) -> float:
        """The fraction of the prunable weights that is kept; 1 for a dense network."""
        return self.prune.density if self.prune else 1.0


class ImportRecipe(FrozenModel):
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
