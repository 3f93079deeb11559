"""The classification networks of timm, an optional package, under names such as timm/resnet18.

https://github.com/huggingface/pytorch-image-models. Nothing is downloaded: the networks are built
without weights, and the package itself knows the size of the images.
"""

import difflib
import importlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.models.info import ModelInfo

if TYPE_CHECKING:
    from torch import nn

_PREFIX = "timm/"
_USUAL_CLASSES = 1000
_FORWARD_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)


def is_timm_name(name: str) -> bool:
    """Whether a network's name is one of timm's, whether timm has it or not."""
    return name.startswith(_PREFIX)


@dataclass(frozen=True)
class TimmNetwork:
    """One of timm's networks; see `core.models.outside.network.OutsideNetwork`.

    Every method raises UserError without timm, and for a name that timm does not have.
    """

    name: str

    def info(self, field: str = "model") -> ModelInfo:
        """Return the facts, for the classes and the size of images of timm's own weights.

        Raises UserError for a network that does not take square RGB images.
        """
        return _timm_info(self.name, field)

    def check_side(self, side: int) -> None:
        """Check the size of the images against what timm says."""
        info = self.info()
        if info.fixed_side and side != info.side:
            raise UserError(
                f"{self.name} takes images of exactly {info.side} x {info.side} pixels, got"
                f" {side} x {side}"
            )

    def check(self, side: int) -> None:
        """Run the network without values on images of `side` x `side` pixels."""
        _multiply_adds(self.name, 2, side)

    def build(self, classes: int) -> "nn.Module":
        """Build the network, untrained."""
        _check_name(self.name, "model")
        network: nn.Module = _timm().create_model(
            self.name.removeprefix(_PREFIX), pretrained=False, num_classes=classes
        )
        return network

    def build_on_meta(self, classes: int) -> "nn.Module":
        """Build the network on torch's meta device."""
        from core.models.meta import AllocateOnMeta
        from core.models.state import unchanged_generator

        try:
            with AllocateOnMeta():
                return self.build(classes).to("meta")
        except (NotImplementedError, RuntimeError):
            # A few networks compute with the values of what they allocate.
            with unchanged_generator():
                return self.build(classes).to("meta")


@lru_cache(maxsize=64)
def _timm_info(name: str, field: str) -> ModelInfo:
    from core.models.outside.counting import count_parameters

    _check_name(name, field)
    defaults = _timm().get_pretrained_cfg(name.removeprefix(_PREFIX))
    channels, height, width = defaults.input_size
    if channels != 3 or height != width:
        raise UserError(
            f"{field} must take square images with 3 channels, and {name} takes {channels} x"
            f" {height} x {width}"
        )
    classes = defaults.num_classes or _USUAL_CLASSES
    return ModelInfo(
        name=name,
        parameters=count_parameters(TimmNetwork(name).build_on_meta(classes)),
        macs=_multiply_adds(name, classes, height),
        description=f"{name.removeprefix(_PREFIX)}, as timm {_timm().__version__} builds it.",
        classes=classes,
        side=height,
        fixed_side=bool(defaults.fixed_input_size),
    )


@lru_cache(maxsize=64)
def _multiply_adds(name: str, classes: int, side: int) -> int:
    from core.models.outside.counting import count_multiply_adds

    network = TimmNetwork(name).build_on_meta(classes)
    try:
        return count_multiply_adds(network, side)
    except _FORWARD_ERRORS as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{name} does not take images of {side} x {side} pixels: {reason}"
        ) from error


def _check_name(name: str, field: str) -> None:
    # `create_model` would download what a name such as hf-hub:... says.
    short_name = name.removeprefix(_PREFIX)
    names = _timm().list_models()
    if short_name in names:
        return
    closest = [_PREFIX + match for match in difflib.get_close_matches(short_name, names, n=3)]
    suggestion = f"; did you mean {' or '.join(closest)}?" if closest else ""
    raise UserError(f"{field} must be {_PREFIX} and a network of timm, got {name!r}{suggestion}")


def _timm() -> Any:
    try:
        return importlib.import_module("timm")
    except ImportError:
        raise UserError(
            "Networks whose names begin with timm/ need the package timm: pip install -r"
            " requirements-timm.txt"
        ) from None
