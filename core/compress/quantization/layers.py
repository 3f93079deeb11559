"""The layers that a quantization recipe changes, and the quantized weight of each."""

from torch import Tensor

from core.compress.affine import QuantizedWeight, quantize, quantize_codebook
from core.compress.kmeans import Codebook, share_weights
from core.compress.quantization.weights import check_names, quantizable_weights
from core.config import KMeansRecipe, QuantizeRecipe
from core.errors import UserError
from core.models import build_on_meta
from core.models.card import ModelCard


def layer_names(card: ModelCard, recipe: QuantizeRecipe) -> list[str]:
    """The weights that the recipe may quantize, in the network's order, those of BatchNorm last.

    Raises UserError if the recipe names a layer that is not one of them.
    """
    model = build_on_meta(card.model, len(card.classes))
    names = list(quantizable_weights(model, recipe.batchnorm))
    check_names(recipe.layers, names)
    return names


def chosen_layers(card: ModelCard, recipe: QuantizeRecipe) -> list[str]:
    """The weights that the recipe does quantize.

    Raises UserError as `layer_names` does, and if the recipe leaves every layer unchanged.
    """
    chosen = [name for name in layer_names(card, recipe) if clusters_or_bits(recipe, name)]
    if not chosen:
        raise UserError("Every layer is left out: there is nothing to quantize.")
    return chosen


def clusters_or_bits(recipe: QuantizeRecipe, name: str) -> int:
    """The clusters or the bits of one layer; 0 leaves the layer unchanged."""
    if isinstance(recipe, KMeansRecipe):
        return recipe.layers.get(name, recipe.clusters)
    return recipe.layers.get(name, recipe.bits)


def quantize_layer(
    weight: Tensor,
    name: str,
    recipe: QuantizeRecipe,
    stored: Tensor | QuantizedWeight | None = None,
    importance: Tensor | None = None,
) -> QuantizedWeight | None:
    """Quantize one weight as the recipe says, before any tuning.

    stored: the same weight in the packed file that it comes from. Rounding to bits rounds the
    centroids of a stored codebook. importance: the weight's Fisher information, for a clustering
    that uses it; without it, all weights matter the same. Returns None if the recipe leaves the
    layer unchanged.
    """
    choice = clusters_or_bits(recipe, name)
    if not choice:
        return None
    if isinstance(recipe, KMeansRecipe):
        init = recipe.init.replace("k-means", "kmeans")
        if recipe.init in ("fisher", "auto"):
            init = "optimal"
        else:
            importance = None
        return share_weights(weight, choice, recipe.keep_zeros, init, recipe.seed, name, importance)
    if isinstance(stored, Codebook):
        return quantize_codebook(stored, choice, recipe.symmetric, recipe.range)
    # A channel of a BatchNorm weight is a single number, and needs no scale of its own.
    per_channel = recipe.per_channel and weight.ndim > 1
    axis = 0 if per_channel else None
    return quantize(weight, choice, axis, recipe.symmetric, recipe.range, name)
