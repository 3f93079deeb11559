"""The networks: a literal registry to choose from without torch, and one function that builds them."""

import difflib
from typing import TYPE_CHECKING

from core.errors import UserError
from core.models.imagenet import TORCHVISION
from core.models.info import ModelInfo

if TYPE_CHECKING:
    from torch import nn

__all__ = ["MODELS", "TORCHVISION", "ModelInfo", "build", "check", "info", "skeleton"]

MODELS: dict[str, ModelInfo] = {
    "VGG16": ModelInfo("VGG16", 15_250_378, 313_725_952, (
        "13 convolutions and 3 linear layers in a row, with BatchNorm: the network of the SNIP paper.")),
    "ResNet34": ModelInfo("ResNet34", 21_282_122, 1_159_402_496, (
        "16 residual blocks of two 3 x 3 convolutions, 64 to 512 channels; the first layer fits small images.")),
    "ResNet50": ModelInfo("ResNet50", 23_520_842, 1_297_829_888, (
        "16 residual bottlenecks of three convolutions, 256 to 2,048 channels; the first layer fits small images.")),
    "LeNet5": ModelInfo("LeNet5", 62_006, 651_720, (
        "Two convolutions and three linear layers, from 1998: trains in seconds, at a learning rate of 0.05 or less.")),
    "ResNet20": ModelInfo("ResNet20", 269_722, 40_551_040, (
        "The smallest ResNet made for CIFAR-10, 16 to 64 channels: about 92% there, within reach without a GPU.")),
    "ResNet32": ModelInfo("ResNet32", 464_154, 68_862_592, (
        "ResNet20 with five blocks a stage instead of three.")),
    "ResNet44": ModelInfo("ResNet44", 658_586, 97_174_144, (
        "ResNet20 with seven blocks a stage instead of three.")),
    "ResNet56": ModelInfo("ResNet56", 853_018, 125_485_696, (
        "ResNet20 with nine blocks a stage instead of three: about 93% on CIFAR-10.")),
}


def info(name: str, field: str = "model") -> ModelInfo:
    """The facts about the network called `name`; `field` is the word for it in an error.

    Upper and lower case matter only where two networks differ in nothing else: ResNet50 is the one for small images,
    resnet50 torchvision's, and lenet5 is understood as LeNet5. The result's `name` is the right spelling.
    Raises UserError for an unknown name, with the known ones and the closest.
    """
    known = MODELS | TORCHVISION
    if name in known:
        return known[name]
    same = [candidate for candidate in known if candidate.lower() == str(name).lower()]
    if len(same) == 1:
        return known[same[0]]
    raise UserError(f"{field} must be one of {', '.join(MODELS)}, or a classification network of torchvision by its "
                    f"own name (such as {', '.join(list(TORCHVISION)[:2])}), got {name!r}{_suggestion(name, same)}")


def _suggestion(name: str, same: list[str]) -> str:
    """"; did you mean ...?" with the networks whose names are closest, or nothing."""
    by_lower = {known.lower(): known for known in TORCHVISION | MODELS}
    close = same or [by_lower[match] for match in difflib.get_close_matches(str(name).lower(), by_lower, n=3)]
    return f"; did you mean {' or '.join(close)}?" if close else ""


def check(name: str, side: int) -> None:
    """Raise UserError if the network called `name` cannot take images of `side` x `side` pixels, or is unknown."""
    facts = info(name)
    if facts.fixed and side != facts.side:
        raise UserError(f"{facts.name} takes images of exactly {facts.side} x {facts.side} pixels, got {side} x {side}")
    if side < facts.min_side:
        raise UserError(f"{facts.name} takes images of at least {facts.min_side} x {facts.min_side} pixels, "
                        f"got {side} x {side}")


def build(name: str, num_classes: int) -> "nn.Module":
    """The network called `name`, from (N, 3, H, W) images to (N, num_classes) logits, with weights to be trained.

    The weights come from torch's global generator; nothing is ever downloaded. torchvision's networks keep their
    architecture but for the classes and GoogLeNet's and Inception's auxiliary outputs, which are left out.
    Raises UserError for an unknown name or less than one class.
    """
    facts = info(name)
    if num_classes < 1:
        raise UserError(f"num_classes must be at least 1, got {num_classes}")
    if facts.name in MODELS:
        from core.models.networks import BUILDERS
        return BUILDERS[facts.name](num_classes)
    import torchvision
    without = {"aux_logits": False, "init_weights": True} if facts.name in ("googlenet", "inception_v3") else {}
    return torchvision.models.get_model(facts.name, weights=None, num_classes=num_classes, **without)


def skeleton(name: str, num_classes: int) -> "nn.Module":
    """`build` on the meta device: every name and shape, but no memory, no random number and next to no time."""
    from core.models.meta import weightless
    with weightless():
        return build(name, num_classes).to("meta")
