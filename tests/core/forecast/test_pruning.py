"""The preview forecasts what the training then does, whatever other previews run meanwhile."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from core import data
from core.compress import masks
from core.compress.pruning.methods import PRUNING_METHODS
from core.compress.ranking import LayerRanking
from core.config import Prune, TrainRecipe
from core.events import Note, Pruned
from core.forecast import paths
from core.forecast.cost import LayerCost, estimated_bytes
from core.forecast.pace import measure_pace
from core.forecast.paths import LiveShare, live_share
from core.forecast.pruning import PruningPreview, preview_pruning, scoring_recipe
from core.jobs.train import TrainJob

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
    return result(preview_pruning(recipe, data.load(recipe.dataset, root)))[0]


def trained_layers(recipe, root):
    return next(
        event for event in TrainJob(recipe, root).events() if isinstance(event, Pruned)
    ).layers


@pytest.mark.parametrize("layerwise", [False, True])
@pytest.mark.parametrize("method", PRUNING_METHODS)
def test_the_preview_counts_what_the_training_keeps(method, layerwise, digits):
    if layerwise and PRUNING_METHODS[method].sets_layer_densities:
        pytest.skip("sets the layer densities itself")
    recipe = RECIPE.model_copy(
        update={
            "seed": 3,
            "prune": Prune(method=method, density=0.07, layerwise=layerwise, rounds=3),
        }
    )
    cut = scored(recipe, digits).at(0.07, layerwise)
    assert {layer.name: [layer.kept, layer.weights] for layer in cut.layers} == trained_layers(
        recipe, digits
    )


def test_one_scoring_serves_all_densities(digits):
    found = scored(RECIPE, digits)
    for density, layerwise in ((0.005, False), (0.3, True), (1.0, False)):
        recipe = RECIPE.model_copy(update={"prune": Prune(density=density, layerwise=layerwise)})
        cut = found.at(density, layerwise)
        assert {layer.name: [layer.kept, layer.weights] for layer in cut.layers} == trained_layers(
            recipe, digits
        )


@pytest.mark.parametrize("pattern", ["2:4", "1:4"])
def test_one_scoring_serves_the_patterns_too(pattern, digits):
    prune = Prune(pattern=pattern)
    recipe = RECIPE.model_copy(update={"prune": prune})
    assert scoring_recipe(recipe) == scoring_recipe(RECIPE)
    preview = scored(RECIPE, digits)
    cut = preview.at(prune.density, False, pattern)
    layers = {layer.name: [layer.kept, layer.weights] for layer in cut.layers}
    job = TrainJob(recipe, digits)
    events = list(job.events())
    assert layers == next(event for event in events if isinstance(event, Pruned)).layers
    assert layers["features.0.weight"] == [450, 450]  # of three input channels
    assert layers["classifier.0.weight"] == [round(prune.density * 48_000), 48_000]
    notes = [event.text for event in events if isinstance(event, Note)]
    assert any(f"{pattern} leaves features.0.weight, features.3.weight dense" in n for n in notes)
    assert preview.paths.at(0.5, False, pattern) == live_share(job.model, job.masks, 32)


def test_previews_at_once_do_not_mix_their_weights(digits):
    seeds = [0, 1, 2, 3] * 3
    alone = [
        scored(RECIPE.model_copy(update={"seed": seed}), digits).at(0.05, False)
        for seed in seeds[:4]
    ]
    with ThreadPoolExecutor(4) as pool:
        found = list(
            pool.map(
                lambda seed: scored(RECIPE.model_copy(update={"seed": seed}), digits).at(
                    0.05, False
                ),
                seeds,
            )
        )
    assert found == [alone[seed] for seed in seeds]
    assert len({str(cut.layers) for cut in alone}) == 4


def test_the_global_random_state_is_left_alone(digits):
    before = torch.get_rng_state()
    scored(RECIPE, digits)
    result(measure_pace(RECIPE, data.load("Digits", digits)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize(
    ("change", "same"),
    [
        ({"epochs": 9}, True),
        ({"lr": 0.5}, True),
        ({"schedule": "cosine"}, True),
        ({"label_smoothing": 0.1}, True),
        ({"prune": Prune(density=0.5)}, True),
        ({"prune": Prune(layerwise=True)}, True),
        ({"prune": None}, True),
        ({"model": "ResNet20"}, False),
        ({"dataset": "CIFAR10"}, False),
        ({"batch_size": 64}, False),
        ({"seed": 1}, False),
        ({"augment": True}, False),
        ({"train_images": 100}, False),
        ({"device": "cpu"}, False),
        ({"prune": Prune(method="magnitude")}, False),
        ({"prune": Prune(batches=2)}, False),
        ({"prune": Prune(batch_size=2)}, False),
        ({"prune": Prune(score_mode="train")}, False),
        ({"prune": Prune(augment=False)}, False),
    ],
)
def test_a_preview_is_shared_by_recipes_with_the_same_scores(change, same):
    assert (scoring_recipe(RECIPE.model_copy(update=change)) == scoring_recipe(RECIPE)) is same


ITERATIVE = [name for name, method in PRUNING_METHODS.items() if method.iterative]


@pytest.mark.parametrize("method", ITERATIVE)
def test_every_density_of_an_iterative_method_is_scored_anew(method):
    recipes = [
        RECIPE.model_copy(
            update={"prune": Prune(method=method, density=density, layerwise=layerwise)}
        )
        for density in (0.1, 0.2)
        for layerwise in (False, True)
    ]
    assert len({scoring_recipe(recipe).model_dump_json() for recipe in recipes}) == 4


def test_a_cut_by_hand():
    class Ranking(LayerRanking):
        def kept(self, density, layerwise=False):
            return {"a.weight": 2, "b.weight": 0}

    layers = np.zeros(10, np.uint8)
    counts_before = np.zeros((1, 2), np.int64)
    found = PruningPreview(
        Ranking(layers, counts_before, {"a.weight": 4, "b.weight": 6}),
        [
            LayerCost("a.weight", "Conv2d", (1, 1, 2, 2), 4, 400),
            LayerCost("b.weight", "Linear", (2, 3), 6, 6),
        ],
        5,
    )
    cut = found.at(0.2, False)
    assert (cut.kept, cut.weights, cut.macs, cut.macs_left) == (2, 10, 406, 200)
    assert cut.dead == ["b.weight"]
    assert [layer.density for layer in cut.layers] == [0.5, 0.0]
    assert cut.size.dense == 15 * 4
    assert (
        cut.size.packed
        == estimated_bytes({"a.weight": 2, "b.weight": 0}, {"a.weight": 4, "b.weight": 6}, 5).packed
    )


def test_masks_agree_with_the_preview(digits):
    """Straight from the scores, without a TrainJob."""
    from core.training import setup

    dataset, device = data.load("Digits", digits), torch.device("cpu")
    model = setup.initial_network(RECIPE, dataset, device)
    training_images = setup.training_images(RECIPE, dataset, device)
    images = setup.scoring_images(RECIPE, dataset, training_images)
    scores, _ = result(setup.score_weights(RECIPE, model, images))
    shown = {
        layer.name: (layer.kept, layer.weights)
        for layer in scored(RECIPE, digits).at(0.02, False).layers
    }
    assert shown == masks.counts(masks.keep_top(scores, 0.02))


@pytest.mark.parametrize("layerwise", [False, True])
def test_the_preview_knows_what_can_still_matter(layerwise, digits):
    """It says of every density what the training's log says."""
    preview = scored(RECIPE, digits)
    assert preview.paths is not None
    for density in (0.001, 0.01, 1.0):
        live = preview.paths.at(density, layerwise)
        prune = Prune(density=density, layerwise=layerwise)
        recipe = RECIPE.model_copy(update={"prune": prune, "train_images": None})
        notes = [
            str(event) for event in TrainJob(recipe, digits).events() if isinstance(event, Note)
        ]
        expected = f"{live.share:.2%} of the kept weights can still matter"
        assert any(expected in note for note in notes) is (live.share < 1)
        assert live.is_low is (live.share < 0.95)


def test_a_layer_is_cut_although_it_keeps_weights():
    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3, 2), torch.nn.Linear(2, 2))
    kept = {
        "1.weight": torch.tensor([[True, True, True], [False, False, False]]),
        "2.weight": torch.tensor([[False, True], [False, False]]),
    }
    live = live_share(model, kept, side=1)
    assert live == LiveShare(share=0.0, cut_layers=("1.weight", "2.weight"))
    kept["2.weight"][1, 0] = True
    assert live_share(model, kept, side=1) == LiveShare(share=4 / 5, cut_layers=())


def test_a_network_that_is_too_large_is_not_followed(digits, monkeypatch):
    monkeypatch.setattr(paths, "MOST_WEIGHTS", 1000)
    assert scored(RECIPE, digits).paths is None
