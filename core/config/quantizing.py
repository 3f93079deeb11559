"""The recipes that quantize a network."""

from typing import Literal

from pydantic import Field

from core.config.fields import Device, FrozenModel, LayerBits, LayerClusters, Rounding, Seed


class _Quantize(FrozenModel):
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
