"""Packs a quantized network into a file, and tests what that file holds."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.compress import codec
from core.compress.affine import QuantizedWeight
from core.compress.packed.ledger import Ledger
from core.config import BudgetRecipe, CompressRecipe, Int8Recipe, QuantizeRecipe
from core.events import Progress
from core.jobs.compression_images import CompressionImages
from core.jobs.recalibration import recalibrate_
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.training.evaluate import evaluate_with_progress


@dataclass(frozen=True, eq=False)
class PackedResult:
    """A packed file and the network that it holds.

    data: the content of the file.
    ledger: where its bytes are.
    tensors: what it holds by name.
    state: the state dict that it dequantizes to.
    loss, accuracy: of that state, on the test images.
    batchnorm_note: a sentence on what "auto" chose for BatchNorm's statistics, "" if nothing.
    """

    data: bytes
    ledger: Ledger
    tensors: Mapping[str, Tensor | QuantizedWeight]
    state: dict[str, Tensor]
    loss: float
    accuracy: float
    batchnorm_note: str = ""

    @classmethod
    def of(
        cls, data: bytes, loss: float, accuracy: float, batchnorm_note: str = ""
    ) -> "PackedResult":
        """Return the result for a packed file with this content. Raises UserError if it is bad."""
        packed = codec.unpack(data)
        return cls(
            data, packed.ledger, packed.tensors, packed.state(), loss, accuracy, batchnorm_note
        )


class Packer:
    """Packs and tests what a recipe made of `parent`.

    parent_items: the tensors of the parent's packed file by name, empty if it has none.
    """

    def __init__(
        self,
        recipe: QuantizeRecipe,
        parent: SavedModel,
        parent_items: Mapping[str, Tensor | QuantizedWeight],
        images: CompressionImages,
        device: torch.device,
    ):
        self.recipe = recipe
        self.parent = parent
        self.parent_items = parent_items
        self.images = images
        self.device = device

    def pack_and_test(
        self, network: nn.Module, items: Mapping[str, QuantizedWeight]
    ) -> Generator[Progress, None, PackedResult]:
        """Put the items into the network, re-estimate BatchNorm, pack, and test the packed file.

        Mutates the network, which must be on the device.
        """
        weights = {name: item.decode() for name, item in items.items()}
        network.load_state_dict(weights, strict=False)
        reference = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        note = yield from recalibrate_(network, reference, self.images, self.recipe.recalibrate)
        content = self._pack(network, items)
        packed = PackedResult.of(content, math.nan, math.nan)
        network.load_state_dict(packed.state)
        loss, accuracy = yield from evaluate_with_progress(
            network, self.images.test, "Testing the quantized network"
        )
        return replace(packed, loss=loss, accuracy=accuracy, batchnorm_note=note)

    def _pack(self, network: nn.Module, items: Mapping[str, QuantizedWeight]) -> bytes:
        """Pack the items, and all other tensors as they are in the network."""
        state = network.state_dict()
        content: dict[str, Tensor | QuantizedWeight] = {}
        for name in self.parent.state:
            if name in items:
                content[name] = items[name]
            else:
                content[name] = self._unless_unchanged(name, state[name])
        card = add_recipe(self.parent.card, self.recipe)
        data, _ = codec.pack(content, card, self.recipe.rest)
        return data

    def _unless_unchanged(self, name: str, tensor: Tensor) -> Tensor | QuantizedWeight:
        """Return the tensor, or what the parent's packed file has for it if they are equal."""
        unchanged = torch.equal(tensor.cpu(), self.parent.state[name])
        if unchanged and name in self.parent_items:
            return self.parent_items[name]
        return tensor


def add_recipe(card: ModelCard, recipe: CompressRecipe | BudgetRecipe | Int8Recipe) -> ModelCard:
    """Return the parent's card with one more recipe in its chain."""
    return card.model_copy(update={"recipes": (*card.recipes, recipe.model_dump(mode="json"))})
