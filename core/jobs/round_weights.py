"""Quantizes the weights of a network before any tuning."""

import copy
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field

from torch import Tensor, nn

from core.compress.affine import Affine, QuantizedWeight
from core.compress.fisher import fisher_information
from core.compress.quantization.layers import quantize_layer
from core.compress.rounding.layer import RoundedLayer
from core.compress.rounding.network import RoundedNetwork, round_network
from core.config import KMeansRecipe, QuantizeRecipe
from core.events import Event, Note, Progress
from core.jobs.compression_images import CompressionImages
from core.models.parameters import prunable_weights
from core.training.evaluate import mean_divergence

_AUTO_STARTS = ("linear", "fisher")
"""The starts of the clustering that "auto" tries. Of equals the first one is chosen."""


@dataclass(frozen=True, eq=False)
class QuantizedWeights:
    """The quantized weights of a network by parameter name.

    rounded: what compensated rounding did to each layer; empty for nearest rounding.
    """

    items: dict[str, QuantizedWeight]
    rounded: Mapping[str, RoundedLayer] = field(default_factory=dict)


class WeightQuantizer:
    """Quantizes these weights of a network as a recipe says.

    network: in float, in evaluation mode, on the device; it is not changed. names: of the weights.
    parent_items: the tensors of the network's packed file by name, empty if it has none. Rounding
    to bits on top of k-means rounds the centroids.
    """

    def __init__(
        self,
        recipe: QuantizeRecipe,
        network: nn.Module,
        names: Sequence[str],
        parent_items: Mapping[str, Tensor | QuantizedWeight],
        images: CompressionImages,
    ):
        self.recipe = recipe
        self.network = network
        self.names = names
        self.parent_items = parent_items
        self.images = images

    def to_nearest(self) -> Generator[Progress, None, QuantizedWeights]:
        """Quantize with nearest rounding, without any images."""
        return QuantizedWeights((yield from self._cluster_or_round(self.recipe, {})))

    def quantize(self) -> Generator[Event, None, QuantizedWeights]:
        """Quantize as the recipe says, and note what was done.

        Where the recipe leaves the start of the clustering open, all are tried. The one whose
        network is closest to the float network on other training images is chosen.
        """
        recipe = self.recipe
        if not isinstance(recipe, KMeansRecipe) or recipe.init not in ("fisher", "auto"):
            return (yield from self._quantize(recipe, {}))
        importance = yield from fisher_information(
            self.network, self.names, self.images.learning_batches(), recipe.seed
        )
        if recipe.init == "fisher":
            return (yield from self._quantize(recipe, importance))
        results = {}
        divergences = {}
        for start in _AUTO_STARTS:
            with_start = recipe.model_copy(update={"init": start})
            results[start] = yield from self._quantize(with_start, importance)
            divergences[start] = self._divergence(results[start])
        best = min(divergences, key=lambda start: divergences[start])
        yield Note(_describe_start(best, divergences))
        return results[best]

    def _quantize(
        self, recipe: QuantizeRecipe, importance: Mapping[str, Tensor]
    ) -> Generator[Event, None, QuantizedWeights]:
        nearest = yield from self._cluster_or_round(recipe, importance)
        names = self._names_to_compensate(nearest)
        if recipe.rounding == "nearest" or not names:
            return QuantizedWeights(nearest)
        batches = self.images.learning_batches()
        rounded: RoundedNetwork = yield from round_network(self.network, nearest, names, batches)
        note = rounded.describe(sum(len(batch) for batch in batches))
        if recipe != self.recipe:  # one of several starts
            note = f"Start “{recipe.model_dump()['init']}”: {note}"
        yield Note(note)
        return QuantizedWeights(nearest | rounded.items, rounded.layers)

    def _cluster_or_round(
        self, recipe: QuantizeRecipe, importance: Mapping[str, Tensor]
    ) -> Generator[Progress, None, dict[str, QuantizedWeight]]:
        stage = "Sharing weights" if isinstance(recipe, KMeansRecipe) else "Rounding weights"
        items: dict[str, QuantizedWeight] = {}
        for name in self.names:
            yield Progress(stage, len(items), len(self.names), "layers")
            weight = self.network.get_parameter(name).detach()
            stored = self.parent_items.get(name)
            item = quantize_layer(weight, name, recipe, stored, importance.get(name))
            assert item is not None, f"{name} is left out, so it is not one of the chosen layers"
            items[name] = item
        return items

    def _names_to_compensate(self, nearest: Mapping[str, QuantizedWeight]) -> list[str]:
        """Return the names of the weights that compensated rounding takes.

        BatchNorm's weights, and centroids that are rounded to bits, keep the nearest level.
        """
        layers = prunable_weights(self.network)
        is_shared = isinstance(self.recipe, KMeansRecipe)
        return [
            name
            for name, item in nearest.items()
            if name in layers and (is_shared or isinstance(item, Affine))
        ]

    def _divergence(self, weights: QuantizedWeights) -> float:
        """The KL divergence of the quantized network from the float network, in nats."""
        decoded = {name: item.decode() for name, item in weights.items.items()}
        quantized = copy.deepcopy(self.network)
        quantized.load_state_dict(decoded, strict=False)
        return mean_divergence(quantized, self.network, self.images.choosing())


def _describe_start(best: str, divergences: Mapping[str, float]) -> str:
    tried = ", ".join(f"{start} {value:.4f}" for start, value in divergences.items())
    return (
        f"The clustering starts from “{best}”. KL divergence from the float network in nats, on"
        f" other training images: {tried}."
    )
