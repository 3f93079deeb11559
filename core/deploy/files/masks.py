"""Writes which weights of a network are kept, as a safetensors file of booleans."""

from collections.abc import Mapping

import torch
from torch import Tensor

from core.models.card import ModelCard
from core.models.saved import SavedModel, layer_shapes, model_bytes


def masks_bytes(network: SavedModel, masks: Mapping[str, Tensor] | None = None) -> bytes:
    """Return the file: a mask for each prunable weight, by its parameter name, with the card.

    masks: those that the network was trained with. Without them, a weight that is not zero is kept.
    """
    if masks is None:
        masks = kept_weights(network.state, network.card)
    return model_bytes({name: mask.bool() for name, mask in masks.items()}, network.card)


def kept_weights(state: Mapping[str, Tensor], card: ModelCard) -> dict[str, Tensor]:
    """Return where each prunable weight is not zero, as booleans by parameter name."""
    return {name: torch.ne(state[name], 0) for name in layer_shapes(card)}
