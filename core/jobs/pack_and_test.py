"""Packs a quantized network into a file, and tests what that file holds."""

import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn

from core.compress import codec, recalibrate
from core.compress.affine import QuantizedWeight
from core.compress.packed.ledger import Ledger
from core.config import Int8Recipe, QuantizeRecipe
from core.events import Progress
from core.jobs.quantize_images import QuantizeImages
from core.models.card import ModelCard
from core.models.parameters import batchnorm_weights
from core.models.saved import SavedModel
from core.training.evaluate import evaluate_with_progress, mean_divergence

_SHARES = (0.25, 0.5, 0.75, 1.0)  # of the new statistics in a blend


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
        images: QuantizeImages,
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
        note = ""
        if self.recipe.recalibrate and batchnorm_weights(network):
            note = yield from self._recalibrate_(network)
        content = self._pack(network, items)
        packed = PackedResult.of(content, math.nan, math.nan)
        network.load_state_dict(packed.state)
        loss, accuracy = yield from evaluate_with_progress(
            network, self.images.test, "Testing the quantized network"
        )
        return replace(packed, loss=loss, accuracy=accuracy, batchnorm_note=note)

    def _recalibrate_(self, network: nn.Module) -> Generator[Progress, None, str]:
        """Re-estimate BatchNorm's statistics as far as the recipe wants it; return what to note."""
        stage = "Re-estimating BatchNorm"
        yield Progress(stage, 0, 0)
        old = recalibrate.statistics(network)
        recalibrate.batchnorm_(network, self.images.calibration_batches())
        if self.recipe.recalibrate != "auto":
            return ""
        new = recalibrate.statistics(network)
        reference = self.parent.network().to(self.device).to(memory_format=torch.channels_last)
        images = self.images.choosing()
        divergences: dict[float, float] = {}
        for share in (0.0, *_SHARES):
            yield Progress(stage, len(divergences), len(_SHARES) + 1, "blends")
            recalibrate.set_blended_(network, old, new, share)
            divergences[share] = mean_divergence(network, reference, images)
        best = min(divergences, key=lambda share: divergences[share])
        recalibrate.set_blended_(network, old, new, best)
        return _describe_blend(best, divergences, len(images))

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


def _describe_blend(best: float, divergences: dict[float, float], images: int) -> str:
    """Say what was chosen. divergences: of each share of new statistics, in nats."""
    of_images = f"on {images:,} training images"
    if not best:
        return (
            "BatchNorm keeps its statistics: new ones bring the answers no closer to those of the"
            f" float network (KL divergence {divergences[0.0]:.4f} nats, {of_images})."
        )
    chosen = "new statistics" if best == 1 else f"a blend with {best:.0%} of new statistics"
    return (
        f"BatchNorm takes {chosen}: KL divergence from the float network {divergences[0.0]:.4f} ->"
        f" {divergences[best]:.4f} nats, {of_images}."
    )


def add_recipe(card: ModelCard, recipe: QuantizeRecipe | Int8Recipe) -> ModelCard:
    """Return the parent's card with one more recipe in its chain."""
    return card.model_copy(update={"recipes": (*card.recipes, recipe.model_dump(mode="json"))})
