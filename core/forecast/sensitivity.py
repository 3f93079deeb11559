"""Measures what it costs to quantize each layer alone.

The cost is the Kullback-Leibler divergence from the float network's answers on training images. It
needs no labels, it notices changes that flip no answer, and what is chosen by it has not seen the
test images. As an extra, the cost is the accuracy on test images.

A scan uses a fixed part of the images, and each layer is compared on the same images with and
without quantization. So a lost accuracy is more exact than either accuracy: only images whose
classification changes add to its variance (McNemar, 1947).
"""

import hashlib
import json
import math
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.quantization.layers import clusters_or_bits, layer_names, quantize_layer
from core.config import QuantizeRecipe
from core.data import Dataset, subset
from core.data.batches import DeviceImages
from core.data.imageset import subset_rows
from core.events import Progress
from core.files import write_atomically
from core.forecast.quantization import StoredTensor, setting_key
from core.models.saved import SavedModel
from core.training.evaluate import kl_divergence
from core.training.held_back import images_at, split_of_card
from core.training.setup import with_normalisation_of

SCAN_IMAGES = 1000  # images that a scan uses, if there are as many
_BATCH = 100

Measure = Literal["divergence", "accuracy"]
"""What a scan measures.

divergence: mean Kullback-Leibler divergence in nats, on training images. accuracy: the accuracy
that is lost in percentage points, on test images.
"""


class QuantizationCost(NamedTuple):
    """What it costs to quantize one layer: the mean over the images, and its standard error.

    In nats, or in percentage points.
    """

    mean: float
    error: float


@dataclass(frozen=True)
class SensitivityScan:
    """The results of a scan, of which some layers may be missing yet.

    measure: what was measured.
    images: number of images that the scan uses.
    of_images: number of all images that it could use: training images that were not held back, or
    test images.
    layers: the cost of each measured layer, by parameter name.
    """

    measure: Measure
    images: int
    of_images: int
    layers: dict[str, QuantizationCost] = field(default_factory=dict)


def scan_sensitivity(
    saved: SavedModel,
    dataset: Dataset,
    recipe: QuantizeRecipe,
    folder: Path,
    measure: Measure = "divergence",
    images: int = SCAN_IMAGES,
    packed: Mapping[str, StoredTensor] | None = None,
    device: torch.device | str = "cpu",
) -> Generator[Progress, None, SensitivityScan]:
    """Quantize one layer at a time as the recipe says, and measure; `saved` is not changed.

    There is no tuning, and BatchNorm keeps its statistics. Each result is written to a file in
    `folder` as soon as it is known, and what that file holds is not measured again: a scan can be
    stopped and continued at any time. Yields Progress in images. Raises UserError as
    `plan_quantization` does.
    """
    packed = packed or {}
    scan = load_scan(folder, recipe, measure, images)
    names = unmeasured_layers(saved, recipe, scan)
    if not names:
        return scan
    model = saved.network().to(device).to(memory_format=torch.channels_last)
    scan_images, of_images = _scan_images(saved, dataset, measure, images, device)
    total = len(scan_images) * (len(names) + 1)
    before = yield from _answers(model, {}, scan_images, "The unquantized network", 0, total)
    for position, name in enumerate(names, 1):
        item = quantize_layer(saved.state[name], name, recipe, packed.get(name))
        assert item is not None, f"{name} is left out, so there is nothing to measure"
        weights = {name: item.decode().to(device)}
        done = position * len(scan_images)
        after = yield from _answers(model, weights, scan_images, name, done, total)
        cost = _cost(before, after, scan_images.labels, measure)
        measured = SensitivityScan(measure, len(scan_images), of_images, {name: cost})
        scan = _add_to_file(folder, recipe, images, measured)
    return scan


def _scan_images(
    saved: SavedModel,
    dataset: Dataset,
    measure: Measure,
    images: int,
    device: torch.device | str,
) -> tuple[DeviceImages, int]:
    """Return the images of a scan, and the number of images that they are chosen from."""
    own = with_normalisation_of(saved.card, dataset)
    if measure == "accuracy":
        part = subset(own.test, images, seed=0)
        test_images = DeviceImages(part, own.mean, own.std, device, torch.channels_last)
        return test_images, len(own.test)
    rows = split_of_card(saved.card, own).training
    chosen = rows[subset_rows(own.train.labels[rows], images, seed=0)]
    return images_at(chosen, own, torch.device(device)), len(rows)


def _answers(
    model: nn.Module,
    weights: Mapping[str, Tensor],
    images: DeviceImages,
    stage: str,
    done: int,
    total: int,
) -> Generator[Progress, None, Tensor]:
    """Return the model's logits for the images with some weights replaced, (N, C).

    Yields Progress before every batch, from `done` of `total` images on.
    """
    logits = []
    for start in range(0, len(images), _BATCH):
        yield Progress(stage, done + start, total, "images")
        batch, _ = images.batch(slice(start, start + _BATCH))
        with torch.inference_mode():
            logits.append(functional_call(model, dict(weights), (batch,)))
    return torch.cat(logits)


def _cost(before: Tensor, after: Tensor, labels: Tensor, measure: Measure) -> QuantizationCost:
    """Compare the logits before and after quantization, (N, C) each."""
    if measure == "divergence":
        costs = kl_divergence(after, before)
        least_error = 0.0
    else:
        was_correct = (before.argmax(1) == labels).float()
        is_correct = (after.argmax(1) == labels).float()
        costs = 100 * (was_correct - is_correct)
        least_error = 100 / len(labels)  # the error that a single changed image makes
    values = costs.double().cpu()
    error = values.std(correction=0).item() / math.sqrt(len(values))
    return QuantizationCost(values.mean().item(), max(error, least_error))


def load_scan(
    folder: Path,
    recipe: QuantizeRecipe,
    measure: Measure = "divergence",
    images: int = SCAN_IMAGES,
    of_images: int = 0,
) -> SensitivityScan:
    """Return what earlier scans have measured with the settings that the recipe has for each layer.

    of_images: number of all images that a scan could use, in case that nothing was measured before.
    """
    content = _read_file(folder / scan_file_name(recipe, measure, images))
    layers = {}
    for name, by_choice in content["layers"].items():
        choice = str(clusters_or_bits(recipe, name))
        if choice in by_choice:
            layers[name] = QuantizationCost(*by_choice[choice])
    return SensitivityScan(
        measure,
        content["images"] or min(images, of_images),
        content["of"] or of_images,
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


def scan_file_name(
    recipe: QuantizeRecipe, measure: Measure = "divergence", images: int = SCAN_IMAGES
) -> str:
    """Return the name of the file for these settings; those of single layers do not change it.

    Older versions wrote numbers of images to files with other names, which are not read any more.
    """
    key = f"{setting_key(recipe)} {images}"
    digest = hashlib.sha256(key.encode()).hexdigest()
    return f"scan-{measure}-{digest[:8]}.json"


def _add_to_file(
    folder: Path, recipe: QuantizeRecipe, images: int, measured: SensitivityScan
) -> SensitivityScan:
    """Add results to what the file holds by now, and return everything that it then holds."""
    path = folder / scan_file_name(recipe, measured.measure, images)
    content = _read_file(path)
    for name, cost in measured.layers.items():
        by_choice = content["layers"].setdefault(name, {})
        by_choice[str(clusters_or_bits(recipe, name))] = list(cost)
    content["images"] = measured.images
    content["of"] = measured.of_images
    write_atomically(path, json.dumps(content).encode())
    return load_scan(folder, recipe, measured.measure, images)


def _read_file(path: Path) -> dict[str, Any]:
    """Return the content of a scan's file, or that of an empty scan if it cannot be read.

    "layers" maps a parameter name to its results, by clusters or bits as text: [mean, error].
    """
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        pairs = [pair for results in content["layers"].values() for pair in results.values()]
        numbers = [float(number) for pair in pairs for number in pair]
        has_all_keys = {"images", "of"} <= content.keys()
        are_pairs = all(len(pair) == 2 for pair in pairs)
        if has_all_keys and are_pairs and all(map(math.isfinite, numbers)):
            return content
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return {"images": 0, "of": 0, "layers": {}}
