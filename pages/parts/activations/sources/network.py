"""The networks whose activations the page shows, and the interface of their sources."""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import streamlit as st

from core.errors import UserError
from core.models import saved
from core.models.card import ModelCard
from pages.parts.shared.cache import FileKey, file_key

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, eq=False)
class InspectedNetwork:
    """A network with certain weights.

    name: Its name on the page.
    key: Its key in caches. A network with other weights has another key.
    card: The classes of the network, and how its images are normalised.
    network: Returns the network in evaluation mode.
    is_trained: Whether its weights have learnt anything.
    """

    name: str
    key: str
    card: ModelCard
    network: "Callable[[], nn.Module]"
    is_trained: bool = True


@dataclass(frozen=True, eq=False)
class NetworkSource:
    """A source of one to three networks.

    dataset: The data set whose test images the page offers.
    choose_networks: Draws the choice among the networks, and returns the chosen ones.
    refresh_seconds: The time between two updates of the page, None if nothing changes by itself.
    """

    dataset: str
    choose_networks: Callable[[], list[InspectedNetwork]]
    refresh_seconds: float | None = None


def network_of_file(name: str, path: Path) -> InspectedNetwork:
    """Return the network in a model file. Raises UserError if the file is gone or damaged."""
    card = saved.read_card(path)
    with _telling_if_gone(path):
        key = file_key(path)
    return InspectedNetwork(name, " ".join(map(str, key)), card, lambda: _read_network(key))


@st.cache_resource(max_entries=4, show_spinner=False)
def _read_network(key: FileKey) -> "nn.Module":
    path = Path(key[0])
    with _telling_if_gone(path):
        return saved.read_model(path).network()


@contextlib.contextmanager
def _telling_if_gone(path: Path) -> Iterator[None]:
    """Turn a FileNotFoundError into a UserError. A training can delete an epoch at any time."""
    try:
        yield
    except FileNotFoundError as error:
        raise UserError(f"{path} is gone: choose another one.") from error
