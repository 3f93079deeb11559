"""Builds networks by name, and lists them in registries that need no torch."""

import contextlib
import difflib
from typing import TYPE_CHECKING

from core.errors import UserError
from core.models.cifar.facts import CIFAR
from core.models.imagenet import TORCHVISION
from core.models.info import ModelInfo
from core.models.outside.files import Listing, list_files, plain_name
from core.models.outside.network import OutsideNetwork, find_outside
from core.models.outside.own import OwnNetwork
from core.models.outside.timm_networks import is_timm_name

if TYPE_CHECKING:
    from torch import nn

__all__ = [
    "ALL_MODELS",
    "MODELS",
    "TORCHVISION",
    "ModelInfo",
    "build",
    "build_on_meta",
    "build_to_fill",
    "check_network",
    "check_side",
    "is_timm_name",
    "model_info",
    "own_infos",
    "own_networks",
    "plain_name",
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
    **CIFAR,
}
"""The networks for small images. The facts are for 10 classes and 32 x 32 pixels."""

ALL_MODELS: dict[str, ModelInfo] = MODELS | TORCHVISION
"""The built-in networks. `build` also builds timm's networks and those of own files."""


def model_info(name: str, field: str = "model") -> ModelInfo:
    """Return the facts about the network called `name`; `field` is the word for it in an error.

    Upper and lower case matter only where two names differ in nothing else: ResNet50 is the network
    for small images, and resnet50 is torchvision's. The result's `name` has the right spelling, and
    that of an own network has the file's version. The first call for an own network or one of
    timm's takes seconds. Raises UserError for an unknown name, and for a network that cannot be
    used.
    """
    if name in ALL_MODELS:
        return ALL_MODELS[name]
    same_but_case = [other for other in ALL_MODELS if other.lower() == str(name).lower()]
    if len(same_but_case) == 1:
        return ALL_MODELS[same_but_case[0]]
    outside = _find_outside(name)
    if outside is not None:
        return outside.info(field)
    names = ", ".join(MODELS)
    examples = ", ".join(list(TORCHVISION)[:2])
    closest = same_but_case or _closest_names(str(name))
    suggestion = f"; did you mean {' or '.join(closest)}?" if closest else ""
    raise UserError(
        f"{field} must be one of {names}, or a classification network of torchvision (such as"
        f" {examples}){_other_networks()}, got {name!r}{suggestion}"
    )


def own_networks() -> Listing:
    """List the networks in the folder SECATEUR_MODELS, without running their files."""
    return list_files(ALL_MODELS)


def own_infos() -> list[ModelInfo]:
    """Return the facts about the own networks that work. The first call takes seconds for each."""
    infos = []
    for file in own_networks().files:
        with contextlib.suppress(UserError):
            infos.append(OwnNetwork(file).info())
    return infos


def _find_outside(name: str) -> OutsideNetwork | None:
    """Return the network that is not built in, None for other names. Built-in ones come first."""
    name = str(name)  # a script may pass anything
    is_built_in = name.lower() in {other.lower() for other in ALL_MODELS}
    return None if is_built_in else find_outside(name)


def _other_networks() -> str:
    """Say which own networks there are, for the error about an unknown name."""
    listing = own_networks()
    own = f", or one of your own ({', '.join(listing.names)})" if listing.names else ""
    problems = f" ({' '.join(listing.problems)})" if listing.problems else ""
    return own + problems


def _closest_names(name: str) -> list[str]:
    """Return up to three names of networks that are spelled like `name`."""
    names = [*ALL_MODELS, *own_networks().names]
    by_lower_case = {other.lower(): other for other in names}
    matches = difflib.get_close_matches(name.lower(), by_lower_case, n=3)
    return [by_lower_case[match] for match in matches]


def check_side(name: str, side: int) -> None:
    """Check that the network called `name` takes images of `side` x `side` pixels.

    The file of an own network is read and not run. Raises UserError if the network does not take
    them, or if it is unknown.
    """
    outside = _find_outside(name)
    if outside is not None:
        return outside.check_side(side)
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


def check_network(name: str, side: int) -> None:
    """Check that the network called `name` works on images of `side` x `side` pixels.

    An own network is built and run in a child process, and one of timm's is run without values;
    both only once. Raises UserError if it does not work, or if the network is unknown.
    """
    check_side(name, side)
    outside = _find_outside(name)
    if outside is not None:
        outside.check(side)


def build(name: str, num_classes: int) -> "nn.Module":
    """Build the network called `name`, untrained: (N, 3, H, W) images to (N, num_classes) logits.

    The first weights are drawn from torch's global generator, and nothing is downloaded.
    torchvision's networks have torchvision's architecture, except that the auxiliary outputs of
    GoogLeNet and Inception are left out. The file of an own network is run. Raises UserError for an
    unknown name, less than one class, and an own network that fails.
    """
    if num_classes < 1:
        raise UserError(f"num_classes must be at least 1, got {num_classes}")
    outside = _find_outside(name)
    if outside is not None:
        return outside.build(num_classes)
    info = model_info(name)
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

    outside = _find_outside(name)
    if outside is not None:
        return outside.build_on_meta(num_classes)
    with AllocateOnMeta():
        return build(name, num_classes).to("meta")


def build_to_fill(name: str, num_classes: int) -> "nn.Module":
    """Build the network for a state dict that gives all its parameters and buffers new values.

    A built-in network is on torch's meta device. Others are on the CPU, because they may have
    values that are in no state dict. The global generator does not change. Raises UserError as
    `build` does.
    """
    if name in ALL_MODELS:
        return build_on_meta(name, num_classes)
    from core.models.state import unchanged_generator

    with unchanged_generator():
        return build(name, num_classes)
