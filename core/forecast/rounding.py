"""Compares nearest and compensated rounding on one layer of a network.

The layer is quantized alone, so that its inputs are those of the float network. In a run, the
layers before it are quantized too, and compensated rounding makes up for their errors as well.
"""

from collections.abc import Generator, Mapping

import torch
from torch import Tensor

from core.compress.affine import Affine
from core.compress.compensation.inputs import layers_in_order, measure_inputs
from core.compress.fisher import fisher_information
from core.compress.quantization.layers import quantize_layer
from core.compress.rounding.layer import RoundedLayer, round_layer
from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe
from core.data import Dataset
from core.data.imageset import subset_rows
from core.errors import UserError
from core.events import Progress
from core.forecast.quantization import StoredTensor
from core.models.saved import SavedModel
from core.training.held_back import images_at, split_of_card
from core.training.setup import with_normalisation_of

COMPARISON_IMAGES = 256  # training images, if there are as many
_BATCH = 64


def compare_roundings(
    saved: SavedModel,
    dataset: Dataset,
    recipe: QuantizeRecipe,
    name: str,
    images: int = COMPARISON_IMAGES,
    packed: Mapping[str, StoredTensor] | None = None,
    device: torch.device | str = "cpu",
) -> Generator[Progress, None, RoundedLayer]:
    """Round one layer in both ways, and measure the output error of each; `saved` is not changed.

    recipe: says how the layer is quantized, whatever its rounding. name: the weight of a Conv2d or
    Linear. A start that is chosen automatically is "fisher" here. images: number of training
    images, the same ones every time, without labels. packed: the tensors of the model's packed file
    by name, if it has one. Yields Progress in steps.

    Raises UserError for a layer that compensated rounding leaves as it is: one that stays in float,
    one whose centroids are rounded to bits, and one that the network does not call.
    """
    stored = (packed or {}).get(name)
    nearest = quantize_layer(saved.state[name], name, recipe, stored)
    if nearest is None:
        raise UserError(f"{name} stays in float, so there is nothing to round.")
    if isinstance(recipe, AffineRecipe) and not isinstance(nearest, Affine):
        raise UserError(f"{name} has shared weights, whose centroids get the nearest level.")
    yield Progress("Reading images", 0, 3, "steps")
    network = saved.network().to(device).to(memory_format=torch.channels_last)
    batches = _batches(saved, dataset, images, torch.device(device))
    calls = layers_in_order(network, [name], batches[0][:2]).get(name)
    if calls is None:
        raise UserError(f"The network does not call {name} as a layer; it gets the nearest level.")
    if isinstance(recipe, KMeansRecipe) and recipe.init in ("fisher", "auto"):
        importance = yield from fisher_information(network, [name], batches, recipe.seed)
        weighted = quantize_layer(saved.state[name], name, recipe, stored, importance[name])
        assert weighted is not None
        nearest = weighted
    yield Progress(f"Inputs of {name}", 1, 3, "steps")
    inputs = measure_inputs(network, network, name, calls, batches)
    yield Progress(f"Rounding {name}", 2, 3, "steps")
    return round_layer(network.get_submodule(name.rpartition(".")[0]), nearest, inputs)


def _batches(
    saved: SavedModel, dataset: Dataset, images: int, device: torch.device
) -> list[Tensor]:
    """Return training images that were not held back, as they are, normalised."""
    own = with_normalisation_of(saved.card, dataset)
    rows = split_of_card(saved.card, own).training
    rows = rows[subset_rows(own.train.labels[rows], images, seed=0)]
    chosen = images_at(rows, own, device)
    return [
        chosen.batch(slice(start, start + _BATCH))[0] for start in range(0, len(chosen), _BATCH)
    ]
