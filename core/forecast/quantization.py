"""Forecasts what a quantization does to every layer: its levels, its error and its size in a file.

The figures of the layers are exact, because the quantization itself runs, layer by layer: a k-means
in one dimension takes milliseconds. The size of the whole file is an estimate. The effect of tuning
is not included.
"""

import json
import math
from collections.abc import Generator, Mapping, MutableMapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from core.compress.affine import QuantizedWeight
from core.compress.distortion import snr
from core.compress.kmeans import Codebook
from core.compress.packed.layout import DTYPES
from core.compress.packed.writer import coded_bytes, stored_bytes
from core.compress.quantization.layers import clusters_or_bits, layer_names, quantize_layer
from core.config import KMeansRecipe, QuantizeRecipe
from core.events import Progress
from core.models.saved import SavedModel

StoredTensor = Tensor | QuantizedWeight

# Bytes of a packed file that are no values: the card and the fixed part of the header, and the
# deflated entry of each tensor.
_CARD_BYTES = 300
_ENTRY_BYTES = 3


@dataclass(frozen=True)
class LayerForecast:
    """A layer's weight after quantization.

    name: the name of its parameter.
    choice: its clusters or bits, 0 if it is left out.
    weights: number of its values.
    zeros: how many of them are 0 after quantization.
    levels: number of different values after quantization, without a pinned zero; None if the layer
    is left out.
    pinned_zeros: number of pruned weights that stay zero, on none of the levels.
    bytes: its size in the packed file.
    snr: signal-to-noise ratio in decibels, None if the quantization changes nothing.
    """

    name: str
    choice: int
    weights: int
    zeros: int
    levels: int | None
    bytes: float
    snr: float | None
    pinned_zeros: int = 0

    @property
    def bits(self) -> float:
        """Bits per weight in the packed file, centroids and scales included."""
        return 8 * self.bytes / self.weights


@dataclass(frozen=True)
class QuantizationPlan:
    """A network after quantization.

    layers: its layers in order.
    float_bytes: size of all its tensors uncompressed.
    packed_bytes: the estimated size of the packed file.
    """

    layers: list[LayerForecast]
    float_bytes: int
    packed_bytes: int

    @property
    def ratio(self) -> float:
        """How many times smaller the packed file is than the uncompressed tensors."""
        return self.float_bytes / self.packed_bytes


def plan_quantization(
    saved: SavedModel,
    recipe: QuantizeRecipe,
    memory: MutableMapping[str, Any],
    packed: Mapping[str, StoredTensor] | None = None,
) -> Generator[Progress, None, QuantizationPlan]:
    """Quantize every layer as the recipe says and measure the result; `saved` is not changed.

    memory: results of earlier calls for the same saved model, which are used and added to. A new
    setting for one layer then quantizes that layer only.
    packed: the tensors of the model's packed file by name, if it has one: rounding to bits then
    rounds the centroids of its codebooks, and a layer that is left out stays as it is in that file.

    Raises UserError for a layer that cannot be quantized, or that the network does not have.
    """
    packed = packed or {}
    names = layer_names(saved.card, recipe)
    all_weights = sum(saved.state[name].numel() for name in names)
    done = 0
    layers: list[LayerForecast] = []
    for name in names:
        weight = saved.state[name]
        key = setting_key(recipe, name)
        if key not in memory:
            yield Progress("Trying it on the weights", done, all_weights, "weights")
            memory[key] = _plan_layer(name, weight, recipe, packed.get(name))
        layers.append(memory[key])
        done += weight.numel()
    others = {name: tensor for name, tensor in saved.state.items() if name not in names}
    key = f"{recipe.rest} {' '.join(others)}"
    if key not in memory:
        items = [packed.get(name, tensor) for name, tensor in others.items()]
        memory[key] = stored_bytes(items, DTYPES[recipe.rest])
    layer_bytes = sum(layer.bytes for layer in layers)
    other_bytes = memory[key]
    entry_bytes = _ENTRY_BYTES * len(saved.state)
    return QuantizationPlan(
        layers,
        float_bytes=sum(tensor.numel() * tensor.itemsize for tensor in saved.state.values()),
        packed_bytes=round(layer_bytes + other_bytes + _CARD_BYTES + entry_bytes),
    )


def setting_key(recipe: QuantizeRecipe, name: str = "") -> str:
    """Return, as text, all settings that the result of layer `name` depends on.

    Without a name these are the settings that are the same for all layers.
    """
    if isinstance(recipe, KMeansRecipe):
        fields = {"init", "keep_zeros"}
        if recipe.init == "k-means++":  # the only start that draws at random
            fields.add("seed")
    else:
        fields = {"per_channel", "symmetric", "range"}
    settings = {"kind": recipe.kind}
    for field in sorted(fields):
        settings[field] = getattr(recipe, field)
    if not name:
        return json.dumps(settings)
    own = {"rest": recipe.rest, "name": name, "choice": clusters_or_bits(recipe, name)}
    return json.dumps(settings | own)


def count_levels(item: QuantizedWeight) -> int:
    """Return the number of different values of a quantized weight, without a pinned zero.

    A centroid without weights is not counted. Of a weight with a scale for every channel these are
    the values of its integers.
    """
    if isinstance(item, Codebook):
        return int(item.counts().count_nonzero())
    return item.values.unique().numel()


def count_pinned_zeros(item: QuantizedWeight) -> int:
    """Return the number of pruned weights that stay zero, on none of the levels."""
    if isinstance(item, Codebook):
        return item.indices.numel() - int(item.counts().sum())
    return 0


def snr_if_lossy(weight: Tensor, approximation: Tensor) -> float | None:
    """Return the signal-to-noise ratio in decibels, or None if it is infinite."""
    ratio = snr(weight, approximation)
    return ratio if math.isfinite(ratio) else None


def _plan_layer(
    name: str, weight: Tensor, recipe: QuantizeRecipe, stored: StoredTensor | None
) -> LayerForecast:
    """stored: the layer's weight in the model's packed file, None if there is no such file."""
    item = quantize_layer(weight, name, recipe, stored)
    if item is None:
        return LayerForecast(
            name,
            choice=0,
            weights=weight.numel(),
            zeros=int((weight == 0).sum()),
            levels=None,
            bytes=stored_bytes([weight if stored is None else stored], DTYPES[recipe.rest]),
            snr=None,
        )
    approximation = item.decode()
    return LayerForecast(
        name,
        choice=clusters_or_bits(recipe, name),
        weights=weight.numel(),
        zeros=int((approximation == 0).sum()),
        levels=count_levels(item),
        bytes=coded_bytes(item),
        snr=snr_if_lossy(weight, approximation),
        pinned_zeros=count_pinned_zeros(item),
    )
