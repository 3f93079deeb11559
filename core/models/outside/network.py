"""The interface of a network from outside, and how one is found by its name."""

from typing import TYPE_CHECKING, Protocol

from core.models.info import ModelInfo
from core.models.outside.files import find_file
from core.models.outside.own import OwnNetwork
from core.models.outside.timm_networks import TimmNetwork, is_timm_name

if TYPE_CHECKING:
    from torch import nn


class OutsideNetwork(Protocol):
    """A network that is in no registry. Every method raises UserError if it cannot be used."""

    def info(self, field: str) -> ModelInfo:
        """Return the facts about it; `field` is the word for its name in an error."""

    def check_side(self, side: int) -> None:
        """Check that it may be given images of `side` x `side` pixels, without running it."""

    def check(self, side: int) -> None:
        """Check that it works on images of `side` x `side` pixels, by running it once."""

    def build(self, classes: int) -> "nn.Module":
        """Build it, with first weights from torch's global generator."""

    def build_on_meta(self, classes: int) -> "nn.Module":
        """Build it on torch's meta device."""


def find_outside(name: str) -> OutsideNetwork | None:
    """Return the network from outside called `name`, None if there is none.

    Raises UserError for an own file that is unreadable, gone, or another version.
    """
    if is_timm_name(name):
        return TimmNetwork(name)
    file = find_file(name)
    return None if file is None else OwnNetwork(file)
