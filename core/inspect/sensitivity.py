"""How much accuracy each layer costs if it alone is quantized: which ones can take few levels, and which cannot.

Measured on a fixed part of the test images. The same images are seen with and without, so that the difference is
known much better than either accuracy: only images that change sides add to its variance (McNemar, 1947).
"""

import hashlib
import json
import math
from collections.abc import Generator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.func import functional_call

from core.compress.layers import choice_of, layer_names, quantized
from core.config import Quantizing
from core.data import Dataset, subset
from core.data.batches import DeviceImages
from core.events import Progress
from core.files import write_atomically
from core.inspect.plan import Item, setting
from core.models.saved import SavedModel

IMAGES = 1000
_BATCH = 100


@dataclass(frozen=True)
class Measured:
    """A network with one layer quantized: images that it no longer gets right, and that it gets right only now."""

    lost: int
    gained: int


@dataclass(frozen=True)
class Scan:
    """What is known so far: `layers` by parameter name, on `images` of `of` test images, of which the network as it
    was gets the share `accuracy` right (None before anything was measured)."""

    images: int
    of: int
    accuracy: float | None = None
    layers: dict[str, Measured] = field(default_factory=dict)

    def drop(self, name: str) -> float:
        """Accuracy that quantizing this layer costs, in [-1, 1]."""
        return (self.layers[name].lost - self.layers[name].gained) / self.images

    def error(self, name: str) -> float:
        """Standard error of `drop`, of a paired difference; at least that of a single image that changes sides."""
        changed = max(1, self.layers[name].lost + self.layers[name].gained)
        return math.sqrt(max(1.0, changed - self.images * self.drop(name) ** 2)) / self.images


def scan(saved: SavedModel, dataset: Dataset, recipe: Quantizing, folder: Path, images: int = IMAGES,
         packed: Mapping[str, Item] | None = None, device: torch.device | str = "cpu"
         ) -> Generator[Progress, None, Scan]:
    """Quantize one layer at a time as the recipe says, without tuning, and test; the saved model is not touched.

    Each result is written to `folder` as it comes, and what is found there is not measured again: stop and go on as
    you like. BatchNorm keeps its statistics. Yields Progress in images; raises UserError as `plan` does.
    """
    part = subset(dataset.test, images, seed=0)
    todo = missing(saved, recipe, known := load(folder, recipe, images, len(dataset.test)))
    if not todo:
        return known
    total, done = len(part) * (len(todo) + 1), 0
    model = saved.network().to(device, memory_format=torch.channels_last)
    there = DeviceImages(part, saved.facts.mean, saved.facts.std, device, torch.channels_last)

    def right(stage: str, weights: dict[str, Tensor]) -> Generator[Progress, None, Tensor]:
        nonlocal done
        found = []
        for start in range(0, len(part), _BATCH):
            yield Progress(stage, done, total, "images")
            found.append(_right(model, weights, *there.batch(slice(start, start + _BATCH))))
            done += len(found[-1])
        return torch.cat(found)

    before = yield from right("The network as it is", {})
    for name in todo:
        item = quantized(saved.state[name], name, recipe, (packed or {}).get(name))
        after = yield from right(name, {name: item.decode().to(device)})
        known = _add(folder, recipe, images, Scan(len(part), len(dataset.test), before.float().mean().item(), {
            name: Measured(int((before & ~after).sum()), int((after & ~before).sum()))}))
    return known


def load(folder: Path, recipe: Quantizing, images: int = IMAGES, of: int = 0) -> Scan:
    """What was measured before with the recipe's settings of each layer."""
    kept = _read(folder / file_name(recipe, images))
    layers = {name: Measured(*found[str(choice_of(recipe, name))]) for name, found in kept["layers"].items()
              if str(choice_of(recipe, name)) in found}
    return Scan(kept["images"] or min(images, of), kept["of"] or of, kept["accuracy"], layers)


def missing(saved: SavedModel, recipe: Quantizing, known: Scan) -> list[str]:
    """The layers that a scan would measure: those that the recipe quantizes and that are not known yet."""
    return [name for name in layer_names(saved.facts, recipe) if choice_of(recipe, name) and name not in known.layers]


def file_name(recipe: Quantizing, images: int = IMAGES) -> str:
    """The name of the file that keeps the results of these settings, whatever single layers have."""
    return f"sensitivity-{hashlib.sha256(f'{setting(recipe)} {images}'.encode()).hexdigest()[:8]}.json"


@torch.inference_mode()
def _right(model: nn.Module, weights: dict[str, Tensor], images: Tensor, labels: Tensor) -> Tensor:
    """Which images the network gets right with some weights replaced, bool (N,)."""
    return functional_call(model, weights, (images,)).argmax(1) == labels


def _add(folder: Path, recipe: Quantizing, images: int, news: Scan) -> Scan:
    """Write down what was found, beside what is there by now; all of it."""
    path = folder / file_name(recipe, images)
    kept = _read(path)
    for name, measured in news.layers.items():
        kept["layers"].setdefault(name, {})[str(choice_of(recipe, name))] = list(asdict(measured).values())
    kept |= {"images": news.images, "of": news.of, "accuracy": news.accuracy}
    write_atomically(path, json.dumps(kept).encode())
    return load(folder, recipe, images)


def _read(path: Path) -> dict:
    """The file's content, or that of an empty one: what cannot be read is measured again."""
    try:
        kept = json.loads(path.read_bytes())
        valid = all(len(pair) == 2 for found in kept["layers"].values() for pair in found.values())
        if valid and {"images", "of", "accuracy"} <= kept.keys():
            return kept
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        pass
    return {"images": 0, "of": 0, "accuracy": None, "layers": {}}
