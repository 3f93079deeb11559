"""Measures how much accuracy each layer costs if it alone is quantized.

The scan uses a fixed part of the test images. Each layer is compared on the same images with and
without quantization, so the difference is more exact than either accuracy: only images whose
classification changes add to its variance (McNemar, 1947).
"""

import hashlib
import json
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.quantization.layers import clusters_or_bits, layer_names, quantize_layer
from core.config import QuantizeRecipe
from core.data import Dataset, subset
from core.data.batches import DeviceImages
from core.events import Progress
from core.files import write_atomically
from core.forecast.quantization import StoredTensor, setting_key
from core.models.saved import SavedModel
from core.training.setup import with_normalisation_of

SCAN_IMAGES = 1000  # test images that a scan uses, if there are as many
_BATCH = 100


@dataclass(frozen=True)
class ChangedImages:
    """The images whose classification changes when one layer is quantized.

    lost: number of images that are no longer classified correctly.
    gained: number of images that are classified correctly only now.
    """

    lost: int
    gained: int


@dataclass(frozen=True)
class SensitivityScan:
    """The results of a scan, of which some layers may be missing yet.

    images: number of test images that the scan uses.
    test_images: number of all test images.
    accuracy: accuracy of the unquantized network on the scan's images, None before the first layer
    is measured.
    layers: the changed images of each measured layer, by parameter name.
    """

    images: int
    test_images: int
    accuracy: float | None = None
    layers: dict[str, ChangedImages] = field(default_factory=dict)

    def drop(self, name: str) -> float:
        """Accuracy that quantizing this layer costs, in [-1, 1]."""
        changed = self.layers[name]
        return (changed.lost - changed.gained) / self.images

    def error(self, name: str) -> float:
        """Standard error of `drop`, as a paired difference.

        It is at least the error that a single changed image makes.
        """
        changed = max(1, self.layers[name].lost + self.layers[name].gained)
        variance_sum = changed - self.images * self.drop(name) ** 2
        return math.sqrt(max(1.0, variance_sum)) / self.images


def scan_sensitivity(
    saved: SavedModel,
    dataset: Dataset,
    recipe: QuantizeRecipe,
    folder: Path,
    images: int = SCAN_IMAGES,
    packed: Mapping[str, StoredTensor] | None = None,
    device: torch.device | str = "cpu",
) -> Generator[Progress, None, SensitivityScan]:
    """Quantize one layer at a time as the recipe says, and test; `saved` is not changed.

    There is no tuning, and BatchNorm keeps its statistics. Each result is written to a file in
    `folder` as soon as it is known, and what that file holds is not measured again: a scan can be
    stopped and continued at any time. Yields Progress in images. Raises UserError as
    `plan_quantization` does.
    """
    packed = packed or {}
    scan = load_scan(folder, recipe, images, len(dataset.test))
    names = unmeasured_layers(saved, recipe, scan)
    if not names:
        return scan
    own = with_normalisation_of(saved.card, dataset)
    part = subset(own.test, images, seed=0)
    model = saved.network().to(device).to(memory_format=torch.channels_last)
    test_images = DeviceImages(part, own.mean, own.std, device, torch.channels_last)
    total = len(part) * (len(names) + 1)
    before = yield from _classify(model, {}, test_images, "The unquantized network", 0, total)
    for position, name in enumerate(names, 1):
        item = quantize_layer(saved.state[name], name, recipe, packed.get(name))
        assert item is not None, f"{name} is left out, so there is nothing to measure"
        weights = {name: item.decode().to(device)}
        done = position * len(part)
        after = yield from _classify(model, weights, test_images, name, done, total)
        changed = ChangedImages(
            lost=int((before & ~after).sum()),
            gained=int((after & ~before).sum()),
        )
        accuracy = before.float().mean().item()
        measured = SensitivityScan(len(part), len(dataset.test), accuracy, {name: changed})
        scan = _add_to_file(folder, recipe, images, measured)
    return scan


def _classify(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    images: DeviceImages,
    stage: str,
    done: int,
    total: int,
) -> Generator[Progress, None, Tensor]:
    """Return which images the model classifies correctly with some weights replaced, bool (N,).

    Yields Progress before every batch, from `done` of `total` images on.
    """
    correct = []
    for start in range(0, len(images), _BATCH):
        yield Progress(stage, done + start, total, "images")
        batch, labels = images.batch(slice(start, start + _BATCH))
        correct.append(_is_correct(model, weights, batch, labels))
    return torch.cat(correct)


@torch.inference_mode()
def _is_correct(
    model: nn.Module, weights: Mapping[str, Tensor], images: Tensor, labels: Tensor
) -> Tensor:
    logits = functional_call(model, dict(weights), (images,))
    return logits.argmax(1) == labels


def load_scan(
    folder: Path, recipe: QuantizeRecipe, images: int = SCAN_IMAGES, test_images: int = 0
) -> SensitivityScan:
    """Return what earlier scans have measured with the settings that the recipe has for each layer.

    test_images: number of all test images, in case that nothing was measured before.
    """
    content = _read_file(folder / scan_file_name(recipe, images))
    layers = {}
    for name, by_choice in content["layers"].items():
        choice = str(clusters_or_bits(recipe, name))
        if choice in by_choice:
            lost, gained = by_choice[choice]
            layers[name] = ChangedImages(lost, gained)
    return SensitivityScan(
        content["images"] or min(images, test_images),
        content["of"] or test_images,
        content["accuracy"],
        layers,
    )


def unmeasured_layers(
    saved: SavedModel, recipe: QuantizeRecipe, scan: SensitivityScan
) -> list[str]:
    """Return the layers that the recipe quantizes and that the scan has not measured."""
    return [
        name
        for name in layer_names(saved.card, recipe)
        if clusters_or_bits(recipe, name) and name not in scan.layers
    ]


def scan_file_name(recipe: QuantizeRecipe, images: int = SCAN_IMAGES) -> str:
    """Return the name of the file for these settings; those of single layers do not change it."""
    key = f"{setting_key(recipe)} {images}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"sensitivity-{digest[:8]}.json"


def _add_to_file(
    folder: Path, recipe: QuantizeRecipe, images: int, measured: SensitivityScan
) -> SensitivityScan:
    """Add results to what the file holds by now, and return everything that it then holds."""
    path = folder / scan_file_name(recipe, images)
    content = _read_file(path)
    for name, changed in measured.layers.items():
        by_choice = content["layers"].setdefault(name, {})
        by_choice[str(clusters_or_bits(recipe, name))] = [changed.lost, changed.gained]
    content["images"] = measured.images
    content["of"] = measured.test_images
    content["accuracy"] = measured.accuracy
    write_atomically(path, json.dumps(content).encode())
    return load_scan(folder, recipe, images)


def _read_file(path: Path) -> dict[str, Any]:
    """Return the content of a scan's file, or that of an empty scan if it cannot be read.

    "layers" maps a parameter name to its results, by clusters or bits as text: [lost, gained].
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        pairs = [pair for results in content["layers"].values() for pair in results.values()]
        has_all_keys = {"images", "of", "accuracy"} <= content.keys()
        if has_all_keys and all(len(pair) == 2 for pair in pairs):
            return content
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return {"images": 0, "of": 0, "accuracy": None, "layers": {}}
