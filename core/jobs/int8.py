"""Makes an ONNX file with 8-bit integer layers of a network, and tests it by integer kernels."""

from collections.abc import Generator, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core import data
from core.accuracy import explain_other_record
from core.config import Int8Recipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.data.imageset import subset_rows
from core.deploy.onnx.check import check_against_torch
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.onnx.layers import first_and_last_layer
from core.deploy.onnx.metadata import parse_onnx, with_card
from core.deploy.onnx.testing import evaluate_engine
from core.deploy.smaller import without_dead_channels
from core.errors import UserError
from core.events import Event, Finished, Note, Progress, Summary
from core.jobs.job import kept_figures, summarize
from core.jobs.pack_and_test import add_recipe
from core.jobs.parent_dataset import load_parent_dataset
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.training.device import choose_device, prepare_process
from core.training.evaluate import evaluate_with_progress
from core.training.held_back import images_at, split_of_card
from core.training.history import History
from core.training.setup import test_images

_CALIBRATION_BATCH = 32  # images
_COMPARED_IMAGES = 16  # on which the float export is compared with PyTorch


class Int8Job:
    """One run of an Int8Recipe, on a saved network; see `core.jobs.job.Job`.

    Its result is an ONNX file. An interrupted job begins anew.

    parent: the network. recorded: its test accuracy in [0, 1] as its run recorded it.
    """

    def __init__(
        self,
        recipe: Int8Recipe,
        parent: SavedModel,
        data_root: Path,
        recorded: float | None = None,
    ):
        self.recipe = recipe
        self.parent = parent
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self._recorded = recorded
        self._file: bytes | None = None

    def events(self) -> Generator[Event, None, None]:
        """Test the network, export it, quantize it, and test the file; ends with Finished.

        Dead channels leave it first, which changes no answer.
        """
        card = self.parent.card
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = load_parent_dataset(card, self.data_root)
        images = test_images(dataset, self.device)
        calibration = self._calibration_images(dataset)
        yield Note(
            f"{card.model} on {card.dataset}: 8-bit integer layers, calibrated on"
            f" {len(calibration):,} training images."
        )
        network = self.parent.network()
        _, before = yield from evaluate_with_progress(network, images, "Testing the float network")
        difference = explain_other_record(before, self._recorded)
        if difference:
            yield Note(difference, level="warning")
        yield Progress("Exporting to ONNX", 0, 0)
        smaller = without_dead_channels(network, card)
        yield from smaller.notes()
        exported = export_onnx(smaller.network, card)
        engine = OnnxEngine(exported)
        largest = check_against_torch(engine, network, _first(calibration, _COMPARED_IMAGES))
        yield Note(f"The float ONNX file differs from PyTorch by at most {largest:.1g} in a logit.")
        yield Progress("Calibrating and rounding", 0, 0)
        quantized = quantize_int8(exported, _batches(calibration), self._float_layers(exported))
        content = with_card(quantized, self.card())
        loss, accuracy = yield from evaluate_engine(
            OnnxEngine(content), images, "Testing the integer network"
        )
        self._file = content
        yield Finished(self._summary(network, images, before, loss, accuracy))

    def checkpoint(self) -> dict[str, Any] | None:
        """Return None: there is nothing to continue from."""
        return None

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: the result is no set of tensors for PyTorch."""
        return {}

    def card(self) -> ModelCard:
        """Return the parent's card with this recipe."""
        return add_recipe(self.parent.card, self.recipe)

    def files(self) -> dict[str, bytes]:
        """Return the ONNX file; empty before it is tested."""
        return {} if self._file is None else {"int8.onnx": self._file}

    def _calibration_images(self, dataset: Dataset) -> DeviceImages:
        """Choose from the images that the network was trained on, evenly over the classes."""
        rows = split_of_card(self.parent.card, dataset).training
        if self.recipe.images > len(rows):
            raise UserError(
                f"images must be at most {len(rows):,}, that this network was trained on, got"
                f" {self.recipe.images}"
            )
        labels = dataset.train.labels[rows]
        chosen = rows[subset_rows(labels, self.recipe.images, self.recipe.seed)]
        return images_at(chosen, dataset, self.device)

    def _float_layers(self, exported: bytes) -> list[str]:
        """Return the names of the weights that the recipe keeps in float."""
        first, last = first_and_last_layer(parse_onnx(exported))
        names = [first] if self.recipe.float_first else []
        return [*names, last] if self.recipe.float_last else names

    def _summary(
        self, network: nn.Module, images: DeviceImages, before: float, loss: float, accuracy: float
    ) -> Summary:
        assert self._file is not None
        return summarize(
            self.card(),
            self.device,
            History(),
            **kept_figures(network),
            test_accuracy=accuracy,
            test_loss=loss,
            test_images=len(images),
            parent_accuracy=before,
            float_bytes=sum(tensor.nbytes for tensor in self.parent.state.values()),
            onnx_bytes=len(self._file),
        )


def _first(images: DeviceImages, count: int) -> Tensor:
    batch, _ = images.batch(slice(0, count))
    return batch.to(memory_format=torch.contiguous_format)


def _batches(images: DeviceImages) -> Iterator[NDArray[np.float32]]:
    """Yield normalised images in batches, as ONNX Runtime takes them."""
    for start in range(0, len(images), _CALIBRATION_BATCH):
        batch, _ = images.batch(slice(start, start + _CALIBRATION_BATCH))
        yield np.ascontiguousarray(batch.numpy())
