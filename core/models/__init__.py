"""Builds networks by name, and lists them in registries that need no torch."""

import difflib
from typing import TYPE_CHECKING

from core.errors import UserError
from core.models.imagenet import TORCHVISION
from core.models.info import ModelInfo

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ALL_MODELS",
    "MODELS",
    "TORCHVISION",
    "ModelInfo",
    "build",
    "build_on_meta",
    "check_side",
    "model_info",
]

MODELS: dict[str, ModelInfo] = {
    "VGG16": ModelInfo(
        name="VGG16",
        parameters=15_250_378,
        macs=313_725_952,
        description=(
            "13 convolutions and 3 linear layers in a row, with BatchNorm: the network of the SNIP"
            " paper."
        ),
    ),
    "ResNet34": ModelInfo(
        name="ResNet34",
        parameters=21_282_122,
        macs=1_159_402_496,
        description=(
            "16 residual blocks of two 3 x 3 convolutions, 64 to 512 channels; the first layer fits"
            " small images."
        ),
    ),
    "ResNet50": ModelInfo(
        name="ResNet50",
        parameters=23_520_842,
        macs=1_297_829_888,
        description=(
            "16 residual bottlenecks of three convolutions, 256 to 2,048 channels; the first layer"
            " fits small images."
        ),
    ),
    "LeNet5": ModelInfo(
        name="LeNet5",
        parameters=62_006,
        macs=651_720,
        description=(
            "Two convolutions and three linear layers, from 1998: trains in seconds, at a learning"
            " rate of 0.05 or less."
        ),
    ),
    "ResNet20": ModelInfo(
        name="ResNet20",
        parameters=269_722,
        macs=40_551_040,
        description=(
            "The smallest ResNet made for CIFAR-10, 16 to 64 channels: about 92% there, within"
            " reach without a GPU."
        ),
    ),
    "ResNet32": ModelInfo(
        name="ResNet32",
        parameters=464_154,
        macs=68_862_592,
        description="ResNet20 with five blocks a stage instead of three.",
    ),
    "ResNet44": ModelInfo(
        name="ResNet44",
        parameters=658_586,
        macs=97_174_144,
        description="ResNet20 with seven blocks a stage instead of three.",
    ),
    "ResNet56": ModelInfo(
        name="ResNet56",
        parameters=853_018,
        macs=125_485_696,
        description="ResNet20 with nine blocks a stage instead of three: about 93% on CIFAR-10.",
    ),
}
"""The networks for small images. The facts are for 10 classes and 32 x 32 pixels."""

ALL_MODELS: dict[str, ModelInfo] = MODELS | TORCHVISION
"""Every network that `build` can build."""


def model_info(name: str, field: str = "model") -> ModelInfo:
    """Return the facts about the network called `name`; `field` is the word for it in an error.

    Upper and lower case matter only where two names differ in nothing else: ResNet50 is the network
    for small images, and resnet50 is torchvision's. The result's `name` has the right spelling.
    Raises UserError for an unknown name.
    """
    if name in ALL_MODELS:
        return ALL_MODELS[name]
    same_but_case = [other for other in ALL_MODELS if other.lower() == str(name).lower()]
    if len(same_but_case) == 1:
        return ALL_MODELS[same_but_case[0]]
    names = ", ".join(MODELS)
    examples = ", ".join(list(TORCHVISION)[:2])
    closest = same_but_case or _closest_names(str(name))
    suggestion = f"; did you mean {' or '.join(closest)}?" if closest else ""
    raise UserError(
        f"{field} must be one of {names}, or a classification network of torchvision (such as"
        f" {examples}), got {name!r}{suggestion}"
    )


def _closest_names(name: str) -> list[str]:
    """Return up to three names of networks that are spelled like `name`."""
    by_lower_case = {other.lower(): other for other in TORCHVISION | MODELS}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    return [by_lower_case[match] for match in matches]


def check_side(name: str, side: int) -> None:
    """Check that the network called `name` takes images of `side` x `side` pixels.

    Raises UserError if it does not, or if the network is unknown.
    """
    info = model_info(name)
    if info.fixed_side and side != info.side:
        raise UserError(
            f"{info.name} takes images of exactly {info.side} x {info.side} pixels, got {side} x"
            f" {side}"
        )
    if side < info.min_side:
        raise UserError(
            f"{info.name} takes images of at least {info.min_side} x {info.min_side} pixels, got"
            f" {side} x {side}"
        )


def build(name: str, num_classes: int) -> "nn.Module":
    """Build the network called `name`, untrained: (N, 3, H, W) images to (N, num_classes) logits.

    The first weights are drawn from torch's global generator, and nothing is downloaded.
    torchvision's networks have torchvision's architecture, except that the auxiliary outputs of
    GoogLeNet and Inception are left out. Raises UserError for an unknown name or less than one
    class.
    """
    info = model_info(name)
    if num_classes < 1:
        raise UserError(f"num_classes must be at least 1, got {num_classes}")
    if info.name in MODELS:
        from core.models.networks import BUILDERS

        return BUILDERS[info.name](num_classes)
    return _build_torchvision(info.name, num_classes)


def _build_torchvision(name: str, num_classes: int) -> "nn.Module":
    import torchvision

    options: dict[str, bool] = {}
    if name in ("googlenet", "inception_v3"):
        options = {"aux_logits": False, "init_weights": True}
    network: nn.Module = torchvision.models.get_model(
        name, weights=None, num_classes=num_classes, **options
    )
    return network


def build_on_meta(name: str, num_classes: int) -> "nn.Module":
    """Build the network on torch's meta device: all names and shapes, and no values.

    This takes next to no time and memory, and draws no random number. Raises UserError as `build`
    does.
    """
    from core.models.meta import AllocateOnMeta

    with AllocateOnMeta():
        return build(name, num_classes).to("meta")
