"""The preview shows what the training then does, and what it says does not depend on who else previews."""

from concurrent.futures import ThreadPoolExecutor

import pytest
import torch

from core import data
from core.compress import masks
from core.compress.snip import METHODS
from core.config import Prune, TrainRecipe
from core.events import Progress, Pruned
from core.inspect.cost import LayerCost
from core.training import preview
from core.training.loop import Training

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits", epochs=1, batch_size=32)


def result(generator):
    """What a generator returns, and its events."""
    events = []
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


def scored(recipe, root):
    return result(preview.scored(recipe, data.load(recipe.dataset, root)))[0]


def trained_layers(recipe, root):
    return next(event for event in Training(recipe, root).events() if isinstance(event, Pruned)).layers


@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("method", METHODS)
def test_the_preview_counts_what_the_training_keeps(method, layerwise, digits):
    recipe = RECIPE.model_copy(update={"seed": 3, "prune": Prune(method=method, density=0.07, layerwise=layerwise,
                                                                rounds=3)})
    cut = scored(recipe, digits).at(0.07, layerwise)
    assert {layer.name: [layer.kept, layer.weights] for layer in cut.layers} == trained_layers(recipe, digits)


def test_one_scoring_serves_all_densities(digits):
    found = scored(RECIPE, digits)
    for density, layerwise in ((0.005, False), (0.3, True), (1.0, False)):
        recipe = RECIPE.model_copy(update={"prune": Prune(density=density, layerwise=layerwise)})
        cut = found.at(density, layerwise)
        assert {layer.name: [layer.kept, layer.weights] for layer in cut.layers} == trained_layers(recipe, digits)


def test_previews_at_once_do_not_mix_their_weights(digits):
    seeds = [0, 1, 2, 3] * 3
    alone = [scored(RECIPE.model_copy(update={"seed": seed}), digits).at(0.05, False) for seed in seeds[:4]]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda seed: scored(RECIPE.model_copy(update={"seed": seed}), digits).at(0.05, False),
                              seeds))
    assert found == [alone[seed] for seed in seeds]
    assert len({str(cut.layers) for cut in alone}) == 4


def test_the_global_random_state_is_left_alone(digits):
    before = torch.get_rng_state()
    scored(RECIPE, digits)
    result(preview.paced(RECIPE, data.load("Digits", digits)))
    assert torch.equal(before, torch.get_rng_state())


def test_iterative_methods_are_those_of_the_registry():
    assert set(preview.ITERATIVE) == {name for name, method in METHODS.items() if not method.one_shot}


@pytest.mark.parametrize(("change", "same"), [
    ({"epochs": 9}, True), ({"lr": 0.5}, True), ({"schedule": "cosine"}, True), ({"label_smoothing": 0.1}, True),
    ({"prune": Prune(density=0.5)}, True), ({"prune": Prune(layerwise=True)}, True), ({"prune": None}, True),
    ({"model": "ResNet20"}, False), ({"dataset": "CIFAR10"}, False), ({"batch_size": 64}, False), ({"seed": 1}, False),
    ({"augment": True}, False), ({"train_images": 100}, False), ({"device": "cpu"}, False),
    ({"prune": Prune(method="magnitude")}, False), ({"prune": Prune(batches=2)}, False),
    ({"prune": Prune(batch_size=2)}, False)])
def test_a_preview_is_shared_by_recipes_with_the_same_scores(change, same):
    assert (preview.relevant(RECIPE.model_copy(update=change)) == preview.relevant(RECIPE)) is same


@pytest.mark.parametrize("method", preview.ITERATIVE)
def test_every_density_of_an_iterative_method_is_scored_anew(method):
    recipes = [RECIPE.model_copy(update={"prune": Prune(method=method, density=density, layerwise=layerwise)})
               for density in (0.1, 0.2) for layerwise in (False, True)]
    assert len({preview.relevant(recipe).model_dump_json() for recipe in recipes}) == 4


def test_a_cut_by_hand():
    class Ranking:
        def __init__(self):
            self.totals = {"a.weight": 4, "b.weight": 6}

        def kept(self, density, layerwise):
            return {"a.weight": 2, "b.weight": 0}

    found = preview.Preview(Ranking(), [LayerCost("a.weight", "Conv2d", (1, 1, 2, 2), 4, 400),
                                        LayerCost("b.weight", "Linear", (2, 3), 6, 6)], 5)
    cut = found.at(0.2, False)
    assert (cut.kept, cut.weights, cut.macs, cut.macs_left) == (2, 10, 406, 200)
    assert cut.dead == ["b.weight"]
    assert [layer.density for layer in cut.layers] == [0.5, 0.0]
    assert cut.size.dense == 15 * 4
    assert cut.size.sparse == 7 * 4 + 1  # four bits of mask: half of four weights


def test_the_pace_makes_the_time(digits):
    dataset = data.load("Digits", digits)
    pace, events = result(preview.paced(RECIPE, dataset))
    assert all(isinstance(event, Progress) for event in events)
    assert pace.images_per_second > 0
    assert pace.epoch_seconds == pytest.approx((1437 + 360 / 3) / pace.images_per_second)


def test_no_time_means_no_whole_step(digits):
    pace, events = result(preview.paced(RECIPE.model_copy(update={"batch_size": 1024}), data.load("Digits", digits), 0))
    assert len(events) == 1
    assert pace.images_per_second > 0


def test_masks_agree_with_the_preview(digits):
    """Straight from the scores, without Training."""
    from core.training import setup

    dataset, device = data.load("Digits", digits), torch.device("cpu")
    model = setup.network(RECIPE, dataset, device)
    batch = setup.scoring_batch(RECIPE, dataset, setup.training_images(RECIPE, dataset, device))
    scores, _ = result(setup.scoring(RECIPE, model, *batch))
    shown = {layer.name: (layer.kept, layer.weights) for layer in scored(RECIPE, digits).at(0.02, False).layers}
    assert shown == masks.counts(masks.keep_top(scores, 0.02))
