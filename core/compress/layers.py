"""Which weights of a network a recipe quantizes, and what it makes of each."""

from torch import Tensor

from core.compress.affine import Affine, quantize, quantize_codebook
from core.compress.kmeans import Codebook, batchnorm_weights, share_weights
from core.config import KMeansRecipe, Quantizing
from core.errors import UserError
from core.models import skeleton
from core.models.parameters import prunable
from core.models.saved import Facts

Item = Codebook | Affine


def layer_names(facts: Facts, recipe: Quantizing) -> list[str]:
    """The weights that the recipe may quantize, in the network's order, BatchNorm's last.

    Raises UserError for a layer of the recipe that is none of them.
    """
    model = skeleton(facts.model, len(facts.classes))
    names = [*prunable(model), *(batchnorm_weights(model) if recipe.batchnorm else ())]
    if unknown := next((name for name in recipe.layers if name not in names), None):
        raise UserError(f"{unknown} is not a weight that can be quantized; known are {', '.join(names)}.")
    return names


def chosen_layers(facts: Facts, recipe: Quantizing) -> list[str]:
    """Those of `layer_names` that the recipe does not leave as they are. Raises UserError, also if there is none."""
    if chosen := [name for name in layer_names(facts, recipe) if choice_of(recipe, name)]:
        return chosen
    raise UserError("Every layer is left out: there is nothing to quantize.")


def quantized(weight: Tensor, name: str, recipe: Quantizing, before: Item | None = None) -> Codebook | Affine | None:
    """The weight as the recipe has it, before any tuning; None for a layer that it leaves as it is.

    before: what stands for the weight in the packed file that it comes from.
    """
    if not (choice := choice_of(recipe, name)):
        return None
    if isinstance(recipe, KMeansRecipe):
        return share_weights(weight, choice, recipe.keep_zeros, recipe.init.replace("k-means", "kmeans"), recipe.seed,
                             name)
    if isinstance(before, Codebook):
        return quantize_codebook(before, choice, recipe.symmetric, recipe.range)
    axis = 0 if recipe.per_channel and weight.ndim > 1 else None  # a channel of BatchNorm is a single number
    return quantize(weight, choice, axis, recipe.symmetric, recipe.range, name)


def choice_of(recipe: Quantizing, name: str) -> int:
    """Clusters or bits of one layer; 0 leaves it as it is."""
    return recipe.layers.get(name, recipe.clusters if isinstance(recipe, KMeansRecipe) else recipe.bits)
