"""What quantizing would do to every layer, before anything runs: its levels, its error, and the size of the file.

Exact, because it is the quantization itself that runs, layer by layer: a k-means in one dimension takes milliseconds.
Only what tuning would change later is not known yet.
"""

import json
import math
from collections.abc import Generator, Mapping, MutableMapping
from dataclasses import dataclass

from torch import Tensor

from core.compress.affine import Affine
from core.compress.distortion import snr
from core.compress.kmeans import Codebook
from core.compress.layers import choice_of, layer_names, quantized
from core.compress.layout import DTYPES, Writer, coded_bytes
from core.config import KMeansRecipe, Quantizing
from core.events import Progress
from core.models.saved import SavedModel

Item = Tensor | Codebook | Affine
# Bytes of a packed file beside its numbers: the card and the header's own words, and per tensor its deflated entry.
_CARD, _ENTRY = 1600, 9
_CORE_MACS = 15e9  # multiply-adds a second of a CPU core that trains a small convolutional network


@dataclass(frozen=True)
class LayerPlan:
    """A weight, by its parameter's name, as it would be.

    choice: clusters or bits, 0 if it is left as it is. weights: how many there are, `zeros` of them exactly 0 then.
    levels: different values used, a pinned zero aside; None if it is left as it is. bytes: of the packed file.
    snr: in decibels, None where nothing is lost.
    """

    name: str
    choice: int
    weights: int
    zeros: int
    levels: int | None
    bytes: float
    snr: float | None

    @property
    def bits(self) -> float:
        """Bits of the packed file for each weight, centroids and scales included."""
        return 8 * self.bytes / self.weights


@dataclass(frozen=True)
class Plan:
    """All layers in order, the bytes of all tensors uncompressed, and the estimate of the packed file."""

    layers: list[LayerPlan]
    float_bytes: int
    packed_bytes: int

    @property
    def ratio(self) -> float:
        """How many times smaller the packed file would be."""
        return self.float_bytes / self.packed_bytes


def plan(saved: SavedModel, recipe: Quantizing, known: MutableMapping[str, object],
         packed: Mapping[str, Item] | None = None) -> Generator[Progress, None, Plan]:
    """Quantize every layer as the recipe says and look at the result; the saved model is not touched.

    known: what was found out before about this saved model, by layer and setting; it is used and added to, so that
        another setting for one layer quantizes one layer.
    packed: what the model's own packed file holds, by name: rounding to bits rounds the centroids of codebooks, and a
        layer that is left out stays as it is there.
    Raises UserError for a layer that cannot be quantized, or that the network does not have.
    """
    names, packed = layer_names(saved.facts, recipe), packed or {}
    weights, done = sum(saved.state[name].numel() for name in names), 0
    for name in names:
        key = setting(recipe, name)
        if key not in known:
            yield Progress("Trying it on the weights", done, weights, "weights")
            known[key] = _layer(name, saved.state[name], recipe, packed.get(name))
        done += saved.state[name].numel()
    rest = sum(_rest(name, packed.get(name, tensor), recipe.rest, known) for name, tensor in saved.state.items()
               if name not in names)
    layers = [known[setting(recipe, name)] for name in names]
    packed = sum(layer.bytes + (layer.levels or 0) for layer in layers) + rest + _CARD + _ENTRY * len(saved.state)
    return Plan(layers, sum(tensor.numel() * tensor.itemsize for tensor in saved.state.values()), round(packed))


def setting(recipe: Quantizing, name: str = "") -> str:
    """All that one layer's result depends on, as text; without a name, what is the same for all layers."""
    if isinstance(recipe, KMeansRecipe):
        fields = {"init", "keep_zeros"} | ({"seed"} if recipe.init == "k-means++" else set())
    else:
        fields = {"per_channel", "symmetric", "range"}
    common = {"kind": recipe.kind, **{field: getattr(recipe, field) for field in sorted(fields)}}
    return json.dumps({**common, "rest": recipe.rest, "name": name, "choice": choice_of(recipe, name)} if name
                      else common)


def tuning_seconds(images: int, macs: float, training_speed: float | None, cores: int) -> float:
    """About how long tuning on so many images takes, from the images a second of the network's own training.

    A step of tuning is one of training, which is three forward passes, and the teacher's forward pass. Without a
    measured speed it is `macs` multiply-adds an image and pass, at 15 billion a second and CPU core.
    """
    return images * 4 * (1 / (3 * training_speed) if training_speed else macs / (_CORE_MACS * cores))


def _layer(name: str, weight: Tensor, recipe: Quantizing, before: Item | None) -> LayerPlan:
    item = quantized(weight, name, recipe, before)
    if item is None:
        return LayerPlan(name, 0, weight.numel(), int((weight == 0).sum()), None,
                         _bytes(weight if before is None else before, recipe.rest), None)
    decoded = item.decode()
    levels = item.values.unique().numel() if isinstance(item, Affine) else item.centroids.numel()
    ratio = snr(weight, decoded)
    return LayerPlan(name, choice_of(recipe, name), weight.numel(), int((decoded == 0).sum()), levels,
                     coded_bytes(item), ratio if math.isfinite(ratio) else None)


def _rest(name: str, item: Item, rest: str, known: MutableMapping[str, object]) -> float:
    """Bytes of a tensor that is not quantized."""
    key = f"{rest} {name}"
    if key not in known:
        known[key] = _bytes(item, rest)
    return known[key]


def _bytes(item: Item, rest: str) -> float:
    """Bytes of a tensor as the packed file keeps it by itself: as it is, without its zeros, or as few values."""
    if not isinstance(item, Tensor):
        return coded_bytes(item)
    writer = Writer(DTYPES[rest])
    writer.add("", item)
    return sum(array.nbytes for array in writer.blobs().values())
