"""A scored network at any density: exactly the weights that pruning would leave."""

import pytest
import torch

from core import data
from core.compress import masks
from core.compress.ranking import masks_at, rank_weights
from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.forecast.any_density import score_network
from core.training import setup

DENSITIES = [1e-4, 0.01, 0.05, 0.3, 0.5, 0.999, 1.0]


def scores(kind):
    generator = torch.Generator().manual_seed(0)
    draw = {
        "distinct": lambda *shape: torch.rand(shape, generator=generator),
        "tied": lambda *shape: torch.randint(4, shape, generator=generator).float(),
        "zeros": lambda *shape: torch.relu(torch.randn(shape, generator=generator)),
        "negative": lambda *shape: torch.randn(shape, generator=generator),
        "double": lambda *shape: torch.rand(shape, generator=generator, dtype=torch.float64),
    }[kind]
    return {"first": draw(8, 3, 3, 3), "second": draw(16, 8), "third": draw(1, 1)}


@pytest.mark.parametrize("density", DENSITIES)
@pytest.mark.parametrize("kind", ["distinct", "tied", "zeros", "negative", "double"])
def test_ranks_give_the_masks_of_keep_top(kind, density):
    found, expected = (
        masks_at(rank_weights(scores(kind)), density),
        masks.keep_top(scores(kind), density),
    )
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_ranks_number_all_weights_once():
    found = rank_weights(scores("tied"))
    every = torch.cat([rank.flatten() for rank in found.values()])
    assert every.sort().values.tolist() == list(range(len(every)))


def test_a_score_that_is_no_number_names_its_layer():
    bad = scores("distinct")
    bad["second"][3, 3] = float("nan")
    with pytest.raises(UserError, match="second"):
        rank_weights(bad)


@pytest.fixture(scope="module")
def recipe():
    return TrainRecipe(model="LeNet5", dataset="Digits", prune=Prune(), batch_size=32, device="cpu")


@pytest.fixture(scope="module")
def scored(recipe, digits):
    return scored_network(recipe, digits)


def scored_network(recipe, root):
    steps = score_network(recipe, data.load("Digits", root))
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


@pytest.mark.parametrize("density", [0.02, 0.1, 1.0])
def test_the_network_is_the_one_that_training_would_start_with(recipe, scored, digits, density):
    dataset = data.load("Digits", digits)
    model = setup.initial_network(recipe, dataset, torch.device("cpu"))
    images = setup.training_images(recipe, dataset, torch.device("cpu"))
    scoring = setup.score_weights(recipe, model, setup.scoring_images(recipe, dataset, images))
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            chosen = masks.keep_top(end.value, density)
            break
    masks.apply_(model, chosen).remove()
    found, expected = scored.network(density).state_dict(), model.state_dict()
    assert found.keys() == expected.keys()
    assert all(torch.equal(found[name], expected[name]) for name in expected)


def test_networks_are_of_their_own(scored):
    sparse, dense = scored.network(0.1), scored.network(1.0)
    assert sum(int((weight != 0).sum()) for weight in sparse.parameters()) < sum(
        int((weight != 0).sum()) for weight in dense.parameters()
    )
    with torch.no_grad():
        dense.get_parameter("features.0.weight").zero_()
    assert scored.network(1.0).get_parameter("features.0.weight").any()


def test_a_reinitialized_network_has_the_weights_that_the_training_begins_with(recipe, digits):
    dataset = data.load("Digits", digits)
    other = recipe.model_copy(update={"prune": Prune(method="snip-reinitialized")})
    model = setup.initial_network(other, dataset, torch.device("cpu"))
    assert setup.reinitialize_(model, other, dataset)
    state = scored_network(other, digits).network(1.0).state_dict()
    assert all(torch.equal(state[name], tensor) for name, tensor in model.state_dict().items())


@pytest.mark.parametrize("density", [0, -1, 1.5])
def test_a_density_out_of_range(scored, density):
    with pytest.raises(UserError, match=r"density must be in \(0, 1\]"):
        scored.network(density)


def test_a_recipe_that_prunes_nothing_has_no_scores(recipe, digits):
    with pytest.raises(ValueError, match="prunes nothing"):
        next(score_network(recipe.model_copy(update={"prune": None}), data.load("Digits", digits)))
