"""Reads and writes saved models: the weights of a network and its card, in one safetensors file."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from core.errors import UserError
from core.hashes import require_intact
from core.models import build_on_meta, build_to_fill
from core.models.card import ModelCard
from core.models.tensor_file import read_header

if TYPE_CHECKING:
    from torch import Tensor, nn

CARD_KEY = "secateur"
"""The name of the card in the file's metadata."""


@dataclass(frozen=True, eq=False)
class SavedModel:
    """The card and the state dict of a network. The tensors are on the CPU, in float32."""

    card: ModelCard
    state: "dict[str, Tensor]"

    def network(self) -> "nn.Module":
        """Build the network with a copy of these weights, on the CPU, in evaluation mode.

        Raises UserError if the weights do not fit the network that the card names.
        """
        model = build_to_fill(self.card.model, len(self.card.classes))
        copies = {name: tensor.clone() for name, tensor in self.state.items()}
        try:
            model.load_state_dict(copies, assign=True)
        except RuntimeError as error:
            reason = str(error).splitlines()[-1].strip()
            raise UserError(f"These weights do not fit {self.card.model}: {reason}") from error
        model.requires_grad_(True)
        return model.eval()


def model_bytes(state: "Mapping[str, Tensor]", card: ModelCard) -> bytes:
    """Return the bytes of a safetensors file with these tensors and the card."""
    from safetensors.torch import save

    tensors = {name: tensor.detach().contiguous().cpu() for name, tensor in state.items()}
    data: bytes = save(tensors, {CARD_KEY: card.model_dump_json()})
    return data


def read_model(path: Path) -> SavedModel:
    """Read the saved model at `path`.

    Raises UserError for a file that is missing, damaged or not a saved model.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    card = read_card(path)
    try:
        require_intact(path)
        return SavedModel(card, load_file(path))
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error


def read_card(path: Path) -> ModelCard:
    """Read the card of the saved model at `path`, without its tensors and without torch.

    Raises UserError as `read_model` does.
    """
    try:
        metadata = read_header(path).metadata
        return ModelCard.model_validate_json(metadata[CARD_KEY])
    except OSError as error:
        raise UserError(f"{path} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError) as error:
        raise UserError(f"{path} is not a model that Secateur saved, or is damaged.") from error


def layer_shapes(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the shapes of a saved model's prunable weights by name, in the network's order.

    Convolutions have (out, in, height, width), linear layers (out, in).
    """
    return dict(_prunable_shapes(card.model, len(card.classes)))


@lru_cache(maxsize=16)
def _prunable_shapes(model: str, num_classes: int) -> dict[str, tuple[int, ...]]:
    from core.models.parameters import prunable_weights

    weights = prunable_weights(build_on_meta(model, num_classes))
    return {name: tuple(weight.shape) for name, weight in weights.items()}


def read_weights(path: Path, names: Sequence[str]) -> Iterator[NDArray[np.float32]]:
    """Yield the named tensors of the saved model at `path`, each flattened to one dimension.

    Each tensor is read when its turn comes, without torch. Raises UserError for a file that is
    missing, damaged or lacks one of the tensors.
    """
    from safetensors import SafetensorError, safe_open

    try:
        require_intact(path)
        with safe_open(path, "numpy") as file:
            for name in names:
                values: NDArray[np.generic] = file.get_tensor(name)
                yield values.astype(np.float32, copy=False).ravel()
    except (OSError, SafetensorError) as error:
        raise UserError(f"{path} is damaged or gone ({error}).") from error


def load_weight(path: Path, name: str) -> "Tensor":
    """Read the tensor called `name` of the saved model at `path`. Raises UserError if it cannot."""
    from safetensors import SafetensorError, safe_open

    try:
        require_intact(path)
        with safe_open(path, "pt") as file:
            weight: Tensor = file.get_tensor(name)
    except (OSError, SafetensorError) as error:
        raise UserError(
            f"{name} cannot be read from {path}: the file is gone, damaged or of another network"
            f" ({error})."
        ) from error
    return weight
