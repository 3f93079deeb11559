"""Builds an own network and runs it on two images, to find out whether the app can work with it."""

from dataclasses import asdict
from typing import Any

import torch
from torch import Tensor, nn

from core.errors import UserError
from core.models.info import ModelInfo
from core.models.meta import AllocateOnMeta
from core.models.outside.counting import count_multiply_adds, count_parameters
from core.models.outside.files import NetworkFile
from core.models.outside.load import build_network, load_file, located_errors, place_of
from core.models.parameters import prunable_weights

USUAL_SIDE = 32
"""Height and width of the images that a network without a SIDE is measured on, in pixels."""

_CLASSES = 3
_IMAGES = 2
_CLASSES_OF_FIGURES = 10


def measure(file: NetworkFile, side: int | None = None) -> dict[str, Any]:
    """Check the network in a file, and return its ModelInfo as plain data.

    side: height and width of the images in pixels; if not given, the file's SIDE, or 32. Raises
    UserError, with file and line, for whatever makes the app unable to work with it.
    """
    side = side or file.side or USUAL_SIDE
    network = build_network(file, _CLASSES).eval()
    _check_weights(network, file)
    _check_output(_run(network, file, side), network, file)
    bare = build_bare(file, _CLASSES_OF_FIGURES)
    without_values = " when it runs without values, on torch's meta device"
    with located_errors(file.path, without_values):
        macs = count_multiply_adds(bare, side)
    info = ModelInfo(
        name=file.name,
        parameters=count_parameters(bare),
        macs=macs,
        description=file.description,
        classes=_CLASSES_OF_FIGURES,
        side=side,
        min_side=file.side or 1,
        fixed_side=file.side is not None,
    )
    return asdict(info)


def build_bare(file: NetworkFile, classes: int) -> nn.Module:
    """Build the network in a file on torch's meta device."""
    load_file(file)  # what it allocates for itself must have values
    without_values = " when it is built without values, on torch's meta device"
    with AllocateOnMeta():
        return build_network(file, classes, without_values).to("meta")


def _check_weights(network: nn.Module, file: NetworkFile) -> None:
    place = place_of(file.path, load_file(file).build)
    if not prunable_weights(network):
        raise UserError(
            f"{place}: the network has no Conv2d and no Linear layer, so there is nothing to prune"
            " or quantize"
        )
    for name, parameter in network.named_parameters():
        if parameter.dtype != torch.float32:
            dtype = str(parameter.dtype).removeprefix("torch.")
            raise UserError(f"{place}: parameters must be float32, and {name} is {dtype}")


def _run(network: nn.Module, file: NetworkFile, side: int) -> Any:
    what = f", for images of 3 x {side} x {side}"
    if file.side is None:
        what += "; a network for one size of images says it by SIDE = ..."
    with located_errors(file.path, what), torch.no_grad():
        return network(torch.zeros(_IMAGES, 3, side, side))


def _check_output(output: Any, network: nn.Module, file: NetworkFile) -> None:
    if isinstance(output, Tensor) and output.shape == (_IMAGES, _CLASSES):
        return
    got = str(tuple(output.shape)) if isinstance(output, Tensor) else type(output).__name__
    raise UserError(
        f"{place_of(file.path, type(network).forward)}: for {_IMAGES} images and"
        f" build({_CLASSES}) the network must return a tensor of shape ({_IMAGES}, {_CLASSES}), got"
        f" {got}"
    )
