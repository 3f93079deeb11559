"""The recipe that prunes a trained network."""

from typing import Literal

from pydantic import Field

from core.config.fields import Device, FrozenModel, PrecisionChoice, Seed

TrainedMethod = Literal[
    "compensated", "magnitude", "snip", "random", "channel-magnitude", "channel-snip"
]
"""The methods that prune a trained network."""

LayerDensities = Literal["global", "layerwise", "erk", "uniform+"]
"""The ways to divide the kept weights among the layers."""


class PruneRecipe(FrozenModel):
    """Prune a network that is trained already, and fine-tune it if wanted."""

    kind: Literal["prune"] = "prune"
    method: TrainedMethod = Field(
        default="compensated",
        description=(
            "How the weights to remove are chosen. compensated: layer after layer on training"
            " images; the kept weights make up for the removed ones (ALPS, SparseGPT). magnitude:"
            " the smallest weights go. snip: those with the least |weight x gradient| at the"
            " trained weights. random: by chance, as the baseline to beat. channel-magnitude,"
            " channel-snip: whole channels go, so that the network can be made smaller and faster."
        ),
    )
    density: float = Field(
        default=0.3,
        gt=0,
        le=1,
        description="Fraction of the prunable weights that is kept, in (0, 1].",
    )
    layer_densities: LayerDensities = Field(
        default="global",
        description=(
            "How many weights each layer keeps. global: the weights of all layers compete."
            " layerwise: the same fraction of every layer. erk: more of the small layers"
            " (Erdos-Renyi-Kernel). uniform+: the same fraction, but a dense first convolution and"
            " at least 20% of the last layer. The two methods that cut channels are always global."
        ),
    )
    spare_first: bool = Field(
        default=False, description="Prune nothing in the first layer, which sees the pixels."
    )
    spare_last: bool = Field(
        default=False, description="Prune nothing in the last layer, which gives the logits."
    )
    images: int = Field(
        default=1024,
        ge=2,
        le=1_000_000,
        description=(
            "Training images for compensated pruning and for the scores of snip, the same ones for"
            " the same seed."
        ),
    )
    recalibrate: Literal["auto"] | bool = Field(
        default="auto",
        description=(
            "Estimate BatchNorm's running mean and variance again on training images, if the"
            " network is not fine-tuned. auto: as far as it brings the answers closer to those of"
            " the network before pruning, on other training images."
        ),
    )
    epochs: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description="Epochs of fine-tuning; the removed weights stay 0. 0 does not fine-tune.",
    )
    gradual: int = Field(
        default=0,
        ge=0,
        le=10_000,
        description=(
            "Epochs over which the density falls, fast at first and then slowly (a cubic"
            " schedule). They are the first of the epochs of fine-tuning. 0 prunes at once."
        ),
    )
    every: int = Field(
        default=100,
        ge=1,
        le=1_000_000,
        description="Training steps between two prunings while the density falls.",
    )
    teacher: Literal["parent", "labels"] = Field(
        default="parent",
        description=(
            "What fine-tuning learns from. parent: the answers of the network before pruning."
            " labels: the labels of the training images."
        ),
    )
    rewind: int | None = Field(
        default=None,
        ge=0,
        le=10_000,
        description=(
            "After pruning, set the kept weights back to those that the parent had after this epoch"
            " of its training, 0 for its initial weights (lottery ticket). If not set: they stay."
        ),
    )
    lr: float = Field(
        default=0.01,
        gt=0,
        le=100,
        description="Learning rate at the start of fine-tuning. It falls to zero along a cosine.",
    )
    momentum: float = Field(
        default=0.9, ge=0, lt=1, description="Momentum of stochastic gradient descent (Nesterov's)."
    )
    weight_decay: float = Field(
        default=5e-4, ge=0, le=10, description="L2 penalty on all parameters."
    )
    batch_size: int = Field(
        default=128, ge=2, le=65536, description="Images in a fine-tuning step."
    )
    train_images: int | None = Field(
        default=None,
        ge=2,
        description=(
            "Number of images for fine-tuning, the same ones for the same seed. If not set: all."
        ),
    )
    seed: Seed = Field(default=0, description="Seed of the order and of the choice of images.")
    precision: PrecisionChoice = Field(
        default="auto",
        description=(
            "Number format of the fine-tuning steps. auto: bfloat16 on a CUDA GPU; on a CPU that"
            " computes in bfloat16 both are timed first, and the faster one trains."
        ),
    )
    device: Device = "auto"
