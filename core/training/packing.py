"""From a network and its codebooks to a packed file, and to the accuracy of what that file holds."""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core import data
from core.compress import codec, recalibrate
from core.compress.codec import Card, Ledger
from core.compress.kmeans import batchnorm_weights
from core.compress.layers import Item
from core.config import Quantizing
from core.data import Dataset
from core.data.batches import DeviceImages, epoch_plan
from core.events import Progress
from core.models.saved import Facts, SavedModel
from core.training.evaluate import evaluating

CALIBRATION = 2_500  # training images from which BatchNorm's statistics are estimated anew
CALIBRATION_BATCH = 250


@dataclass(frozen=True, eq=False)
class Outcome:
    """A packed file, the state that it decodes to, and that state's loss and accuracy on the test images."""

    data: bytes
    ledger: Ledger
    state: dict[str, Tensor]
    loss: float
    accuracy: float


class Packing:
    """Packs and tests what a recipe made of `parent`, whose own packed tensors are `packed`.

    dataset: the parent's, in the parent's normalisation. `test` is its test images on the device, and `augment` says
    whether its training images were cropped and flipped.
    """

    def __init__(self, recipe: Quantizing, parent: SavedModel, packed: Mapping[str, Tensor | Item], dataset: Dataset,
                 device: torch.device):
        self.recipe, self.parent, self._packed, self._dataset = recipe, parent, packed, dataset
        self.device, self.augment = device, augmented(parent.facts, dataset)
        self.test = self._images(dataset.test)

    def _images(self, images: data.ImageSet) -> DeviceImages:
        return DeviceImages(images, self._dataset.mean, self._dataset.std, self.device, torch.channels_last)

    def settled(self, network: nn.Module, items: Mapping[str, Item]) -> Generator[Progress, None, Outcome]:
        """Put the items into the network, re-estimate BatchNorm, pack it, and test what the file then holds.

        Mutates the network, which must be on the device.
        """
        network.load_state_dict({name: item.decode() for name, item in items.items()}, strict=False)
        if self.recipe.recalibrate and batchnorm_weights(network):
            yield Progress("Re-estimating BatchNorm", 0, 0)
            recalibrate.batchnorm_(network, self._calibration())
        state, facts = network.state_dict(), facts_after(self.recipe, self.parent.facts)
        card = Card(network=facts.model, **facts.model_dump(include={"classes", "mean", "std", "side", "recipes"}))
        content, ledger = codec.pack({name: items.get(name) or self._kept(name, state[name])
                                      for name in self.parent.state}, card, self.recipe.rest)
        state = codec.unpack(content).state()
        network.load_state_dict(state)
        loss, accuracy = yield from evaluating(network, self.test, "Testing the quantized network")
        return Outcome(content, ledger, state, loss, accuracy)

    def _calibration(self) -> Iterator[Tensor]:
        """Training images, the same ones for a seed, in batches of one size.

        Augmented as in training: BatchNorm knows no others, and the black borders of random crops move its means.
        With plain images ResNet20 on CIFAR-10 loses 3 to 5 points more, even before it is quantized.
        """
        images = self._images(data.subset(self._dataset.train, CALIBRATION, self.recipe.seed))
        order, augmentation = epoch_plan(len(images), self.recipe.seed, 0, self.augment)
        size = min(CALIBRATION_BATCH, len(images))
        for indices in order[:len(order) // size * size].split(size):
            yield images.batch(indices, augmentation)[0]

    def _kept(self, name: str, tensor: Tensor) -> Tensor | Item:
        """A tensor that is as it was stays the codebook or the grid that it was."""
        same = torch.equal(tensor.cpu(), self.parent.state[name])
        return self._packed.get(name, tensor) if same else tensor


def facts_after(recipe: Quantizing, facts: Facts) -> Facts:
    """The parent's facts with one more recipe in the chain."""
    return facts.model_copy(update={"recipes": (*facts.recipes, recipe.model_dump(mode="json"))})


def augmented(facts: Facts, dataset: Dataset) -> bool:
    """Whether the network was trained on crops and flips: as its recipe says, else as the data set does."""
    said = [recipe["augment"] for recipe in facts.recipes if recipe.get("augment") is not None]
    return said[0] if said else dataset.augment
