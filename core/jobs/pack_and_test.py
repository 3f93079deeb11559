"""Packs a quantized network into a file, and tests what that file holds."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress import codec, recalibrate
from core.compress.affine import QuantizedWeight
from core.compress.packed.ledger import Ledger
from core.config import QuantizeRecipe
from core.data import Dataset
from core.data.batches import epoch_plan
from core.data.imageset import subset_rows
from core.events import Progress
from core.models.card import ModelCard
from core.models.parameters import batchnorm_weights
from core.models.saved import SavedModel
from core.training import setup
from core.training.evaluate import evaluate_with_progress
from core.training.held_back import TrainingSplit, images_at

CALIBRATION_IMAGES = 2_500  # training images on which BatchNorm's statistics are re-estimated
_CALIBRATION_BATCH = 250


@dataclass(frozen=True, eq=False)
class PackedResult:
    """A packed file and the network that it holds.

    data: the content of the file.
    ledger: where its bytes are.
    tensors: what it holds by name.
    state: the state dict that it dequantizes to.
    loss, accuracy: of that state, on the test images.
    """

    data: bytes
    ledger: Ledger
    tensors: Mapping[str, Tensor | QuantizedWeight]
    state: dict[str, Tensor]
    loss: float
    accuracy: float


class Packer:
    """Packs and tests what a recipe made of `parent`.

    parent_items: the tensors of the parent's packed file by name, empty if it has none.
    dataset: the data set of the parent, with the parent's normalisation.
    test_images: its test images, on the device.
    split: says which of its training images are held back.
    augment: whether the parent was trained on crops and flips.
    """

    def __init__(
        self,
        recipe: QuantizeRecipe,
        parent: SavedModel,
        parent_items: Mapping[str, Tensor | QuantizedWeight],
        dataset: Dataset,
        split: TrainingSplit,
        device: torch.device,
    ):
        self.recipe = recipe
        self.parent = parent
        self.parent_items = parent_items
        self.dataset = dataset
        self.split = split
        self.device = device
        self.augment = trained_with_augmentation(parent.card, dataset)
        self.test_images = setup.test_images(dataset, device)

    def pack_and_test(
        self, network: nn.Module, items: Mapping[str, QuantizedWeight]
    ) -> Generator[Progress, None, PackedResult]:
        """Put the items into the network, re-estimate BatchNorm, pack, and test the packed file.

        Mutates the network, which must be on the device.
        """
        weights = {name: item.decode() for name, item in items.items()}
        network.load_state_dict(weights, strict=False)
        if self.recipe.recalibrate and batchnorm_weights(network):
            yield Progress("Re-estimating BatchNorm", 0, 0)
            recalibrate.batchnorm_(network, self._calibration_batches())
        content, ledger = self._pack(network, items)
        packed = codec.unpack(content)
        state = packed.state()
        network.load_state_dict(state)
        loss, accuracy = yield from evaluate_with_progress(
            network, self.test_images, "Testing the quantized network"
        )
        return PackedResult(content, ledger, packed.tensors, state, loss, accuracy)

    def _calibration_batches(self) -> Iterator[Tensor]:
        """Yield training images, the same ones for a seed, in batches of one size.

        They are augmented as in training, because BatchNorm's statistics are those of augmented
        images: the black borders of random crops move its means. With plain images ResNet20 on
        CIFAR-10 loses 3 to 5 points more, even before it is quantized.
        """
        rows = self.split.training
        labels = self.dataset.train.labels[rows]
        rows = rows[subset_rows(labels, CALIBRATION_IMAGES, self.recipe.seed)]
        images = images_at(rows, self.dataset, self.device)
        order, augmentation = epoch_plan(len(images), self.recipe.seed, 0, self.augment)
        size = min(_CALIBRATION_BATCH, len(images))
        in_whole_batches = len(order) // size * size
        for indices in order[:in_whole_batches].view(-1, size):
            batch, _ = images.batch(indices, augmentation)
            yield batch

    def _pack(
        self, network: nn.Module, items: Mapping[str, QuantizedWeight]
    ) -> tuple[bytes, Ledger]:
        """Pack the items, and all other tensors as they are in the network."""
        state = network.state_dict()
        content: dict[str, Tensor | QuantizedWeight] = {}
        for name in self.parent.state:
            if name in items:
                content[name] = items[name]
            else:
                content[name] = self._unless_unchanged(name, state[name])
        return codec.pack(content, add_recipe(self.parent.card, self.recipe), self.recipe.rest)

    def _unless_unchanged(self, name: str, tensor: Tensor) -> Tensor | QuantizedWeight:
        """Return the tensor, or what the parent's packed file has for it if they are equal."""
        unchanged = torch.equal(tensor.cpu(), self.parent.state[name])
        if unchanged and name in self.parent_items:
            return self.parent_items[name]
        return tensor


def add_recipe(card: ModelCard, recipe: QuantizeRecipe) -> ModelCard:
    """Return the parent's card with one more recipe in its chain."""
    return card.model_copy(update={"recipes": (*card.recipes, recipe.model_dump(mode="json"))})


def trained_with_augmentation(card: ModelCard, dataset: Dataset) -> bool:
    """Return whether the network was trained on crops and flips.

    The first recipe of the card that sets `augment` decides, or else the data set.
    """
    for recipe in card.recipes:
        augment = recipe.get("augment")
        if augment is not None:
            return bool(augment)
    return dataset.augment
