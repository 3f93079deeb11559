"""The preview of pruning a trained network counts what the job then keeps."""

import pytest
import torch

from core.config import PruneRecipe
from core.errors import UserError
from core.events import Finished, Pruned, result_of
from core.forecast.cost import estimated_bytes
from core.forecast.trained_pruning import densities_to_try
from core.jobs.prune import PruneJob
from core.jobs.pruning_trial import preview_trained_pruning
from core.models import build
from core.models.saved import SavedModel, layer_shapes
from tests.sample_runs import CARD

FIRST, LAST = "features.0.weight", "classifier.4.weight"
TOTAL = 61_770


@pytest.fixture(scope="module")
def parent():
    """A LeNet5 with the weights that it is built with: its training does not matter here."""
    torch.manual_seed(0)
    return SavedModel(CARD, build("LeNet5", 10).state_dict())


def recipe_of(**changes):
    return PruneRecipe(**{"device": "cpu", "images": 64, "recalibrate": False, **changes})


def preview(parent, recipe, root):
    return result_of(preview_trained_pruning(parent, recipe, root))


def counts(network):
    return {layer.name: [layer.kept, layer.weights] for layer in network.layers}


@pytest.mark.parametrize(
    "changes",
    [
        {"method": "magnitude"},
        {"method": "compensated", "layer_densities": "erk"},
        {"method": "snip", "layer_densities": "layerwise", "seed": 2},
        {"method": "random", "layer_densities": "uniform+"},
        {"method": "channel-magnitude"},
        {"method": "channel-snip", "spare_last": True},
        {"method": "magnitude", "density": 0.1, "spare_first": True, "spare_last": True},
    ],
    ids=str,
)
def test_the_preview_counts_what_the_job_keeps(changes, parent, digits):
    recipe = recipe_of(**changes)
    events = PruneJob(recipe, parent, digits).events()
    pruned = next(event for event in events if isinstance(event, Pruned))
    network = preview(parent, recipe, digits).at(recipe)
    assert counts(network) == pruned.layers
    assert network.kept == pruned.kept


def test_one_scoring_serves_all_densities_and_the_network_stays(parent, digits):
    scored = preview(parent, recipe_of(method="magnitude"), digits)
    magnitudes = torch.cat([parent.state[cost.name].abs().flatten() for cost in scored.costs])
    for density in (0.01, 0.3, 0.999, 1.0):
        network = scored.at(recipe_of(method="magnitude", density=density))
        least = magnitudes.sort(descending=True).values[network.kept - 1]
        for layer in network.layers:
            assert layer.kept == int((parent.state[layer.name].abs() >= least).sum())
    assert scored.density == 1.0
    assert scored.macs == network.macs == network.macs_left
    for name, tensor in scored.network.state_dict().items():
        assert torch.equal(tensor, parent.state[name])


def test_what_costs_less(parent, digits):
    recipe = recipe_of(method="magnitude", density=0.2)
    scored = preview(parent, recipe, digits)
    network = scored.at(recipe)
    shares = {cost.name: cost.macs / cost.weights for cost in scored.costs}
    left = sum(layer.kept * shares[layer.name] for layer in network.layers)
    assert network.macs_left == pytest.approx(left, abs=len(shares))
    kept = {layer.name: layer.kept for layer in network.layers}
    totals = {layer.name: layer.weights for layer in network.layers}
    biases = sum(tensor.numel() for tensor in parent.state.values()) - sum(totals.values())
    assert network.size == estimated_bytes(kept, totals, biases)


def test_the_size_is_near_that_of_the_packed_file(parent, digits):
    recipe = recipe_of(method="magnitude", density=0.2)
    *_, finished = PruneJob(recipe, parent, digits).events()
    assert isinstance(finished, Finished)
    size = preview(parent, recipe, digits).at(recipe).size
    assert size.packed == pytest.approx(finished.summary.packed_bytes, rel=0.1)


def test_channels_really_leave(parent, digits):
    recipe = recipe_of(method="channel-magnitude", density=0.3)
    report = preview(parent, recipe, digits).without_channels(recipe)
    assert report.before.weights == TOTAL
    assert 0.25 * TOTAL < report.after.weights < 0.4 * TOTAL  # one channel stays in part
    assert report.macs_left < 1


def test_no_data_set_is_read_where_no_image_is_needed(parent, tmp_path):
    for method in ("compensated", "magnitude", "random", "channel-magnitude"):
        recipe = recipe_of(method=method)
        assert preview(parent, recipe, tmp_path / "none").at(recipe).kept == round(0.3 * TOTAL)


def test_spared_layers_that_leave_no_room_are_refused(parent, digits):
    recipe = recipe_of(method="magnitude", density=0.01, spare_last=True)
    with pytest.raises(UserError, match="spared layers alone"):
        preview(parent, recipe, digits).at(recipe)


# -- the densities of a trial --


def test_the_densities_of_a_dense_network_begin_with_the_chosen_one(parent):
    assert densities_to_try(parent, recipe_of()) == [0.3, 0.8, 0.6, 0.5, 0.4, 0.2, 0.1]
    assert densities_to_try(parent, recipe_of(density=0.07))[:2] == [0.07, 0.8]
    assert densities_to_try(parent, recipe_of(density=1.0))[0] == 0.8


def test_the_densities_of_a_pruned_network_are_parts_of_its_own(parent):
    state = dict(parent.state)
    for name in layer_shapes(parent.card):
        half = torch.arange(state[name].numel()).view(state[name].shape) % 2 == 0
        state[name] = state[name].masked_fill(half, 0.0)
    pruned = SavedModel(parent.card, state)
    assert densities_to_try(pruned, recipe_of()) == pytest.approx(
        [0.3, 0.4, 0.25, 0.2, 0.15, 0.1, 0.05], abs=1e-3
    )


def test_densities_that_spared_layers_make_impossible_are_left_out(parent):
    spared = recipe_of(spare_last=True)
    least = parent.state[LAST].numel() / TOTAL
    densities = densities_to_try(parent, spared.model_copy(update={"density": least / 2}))
    assert densities == [0.8, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1]
    assert min(densities_to_try(parent, spared.model_copy(update={"density": least}))) == least
