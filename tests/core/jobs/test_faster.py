"""A budget of time as a job: which density it takes, and that channels really leave the network.

Nothing here asserts a time: what the summary says is compared with what was measured.
"""

import io
import itertools
import random
from typing import Any

import pytest
import torch

from core.compress import codec
from core.config import BudgetRecipe, TrainRecipe
from core.errors import UserError
from core.events import Event, Note, Progress, ThinnedCandidate
from core.jobs.budget.channels.density import (
    Speed,
    largest_kept,
    nearest_density,
    next_density,
)
from core.jobs.budget.channels.job import FasterJob
from core.jobs.budget.channels.masks import check_channels, least_density, whole_channels
from core.jobs.budget.channels.thinned import smaller_of
from core.jobs.train import TrainJob
from core.models import build
from core.models.card import ModelCard
from core.models.saved import SavedModel
from tests.core.jobs.test_train import assert_same, summary_of

LEAST = 0.01


def speed(least):
    return Speed(1.0, 0.5, least + 0.1, least, least + 0.2)


def bisected(least_at, faster):
    """Try densities as a run does, with the lower end of each given by `least_at`."""
    tried: dict[float, Speed] = {}
    while (density := next_density(tried, faster, LEAST, 1.0)) is not None:
        tried[density] = speed(least_at(density))
    return tried


# -- the choice --


def test_the_bisection_ends_at_the_largest_density_that_is_fast_enough():
    tried = bisected(lambda density: 2.0 if density <= 0.3 else 1.9, 2.0)
    assert next(iter(tried)) == LEAST
    kept = largest_kept(tried, 2.0)
    assert kept is not None
    assert 0.3 / 1.05 < kept <= 0.3
    assert len(tried) <= 9


def test_if_not_even_the_fewest_channels_are_fast_enough_nothing_else_is_tried():
    assert list(bisected(lambda density: 1.5, 2.0)) == [LEAST]


def test_a_given_list_of_speeds_gives_the_next_density_and_the_choice():
    tried = {0.01: speed(4.0), 0.1: speed(2.5), 0.36: speed(1.9), 0.2: speed(2.0)}
    assert largest_kept(tried, 2.0) == 0.2
    assert next_density(tried, 2.0, LEAST, 1.0) == pytest.approx((0.2 * 0.36) ** 0.5)
    assert largest_kept(tried, 5.0) is None
    assert nearest_density(tried) == 0.01
    close = tried | {0.208: speed(1.9)}
    assert next_density(close, 2.0, LEAST, 1.0) is None


@pytest.mark.parametrize("seed", range(30))
def test_a_noisy_clock_never_makes_it_take_what_misses_the_limit(seed):
    noise = random.Random(seed)
    tried = bisected(lambda density: 1 / density**0.3 + noise.gauss(0, 0.3), 2.0)
    kept = [density for density, one in tried.items() if one.least >= 2.0]
    assert largest_kept(tried, 2.0) == max(kept, default=None)
    chosen = largest_kept(tried, 2.0)
    assert chosen is None or tried[chosen].keeps(2.0)


# -- the masks --

SCORES = {
    "a": torch.tensor([[5.0, 5.0], [2.0, 2.0]]),  # channel 0 is the best, channel 1 the worst
    "b": torch.tensor([[4.0, 2.0], [3.0, 2.0], [9.0, 2.0]]),
}


def test_channels_stay_whole():
    masks = whole_channels(SCORES, 0.5)  # of 10 weights: 9, 5, 5, 4, 3, and then five of 2
    assert masks["a"].tolist() == [[True, True], [False, False]]
    assert masks["b"].tolist() == [[True, False]] * 3
    for density in (0.55, 0.9):  # a part of the group of 2 does not stay
        assert_same({"masks": whole_channels(SCORES, density)}, {"masks": masks})
    assert all(mask.all() for mask in whole_channels(SCORES, 1.0).values())


def test_each_layer_keeps_a_channel():
    assert least_density(SCORES) == 0.3  # 9 alone would leave the first layer empty
    masks = whole_channels(SCORES, 0.01)
    assert sum(int(mask.sum()) for mask in masks.values()) == 3


# -- the run --


@pytest.fixture(scope="module")
def parent(digits):
    recipe = TrainRecipe(
        model="LeNet5", dataset="Digits", prune=None, epochs=1, train_images=200, device="cpu"
    )
    job = TrainJob(recipe, digits)
    for _ in job.events():
        pass
    return SavedModel(job.card(), job.result()["model"])


def recipe_of(**changes):
    """So few minutes leave time for the fewest densities only."""
    usual = {
        "faster": 1.05,
        "minutes": 0.001,
        "tuning_epochs": 2,
        "batch_size": 512,
        "device": "cpu",
    }
    return BudgetRecipe(**(usual | changes))


@pytest.fixture(scope="module")
def finished(parent, digits):
    """The job, its events, and its checkpoints at three of them."""
    job = FasterJob(recipe_of(), parent, digits)
    events: list[Event] = []
    checkpoints: dict[str, Any] = {}
    for event in job.events():
        events.append(event)
        if event_of_stop := stop_at(events):
            checkpoints.setdefault(event_of_stop, through_a_file(job.checkpoint()))
    return job, events, checkpoints


def stop_at(events):
    """The name of the moment after which a run is stopped, "" if it goes on."""
    last = events[-1]
    if isinstance(last, ThinnedCandidate):
        is_third = len(tried_in(events)) == 3
        return "search" if is_third else f"epoch {last.epochs}"
    is_step = isinstance(last, Progress) and last.stage.endswith("epoch 2 of 2")
    return "in epoch 2" if is_step else ""


def through_a_file(checkpoint):
    file = io.BytesIO()
    torch.save(checkpoint, file)
    file.seek(0)
    return torch.load(file, weights_only=True)


def tried_in(events):
    return [event for event in events if isinstance(event, ThinnedCandidate)]


def test_the_result_is_a_network_whose_channels_leave_without_changing_its_answers(
    finished, parent
):
    job, _, _ = finished
    result = job.result()
    packed = codec.unpack(job.files()["packed.secateur"]).state()
    assert_same({"model": packed}, {"model": result["model"]})
    network = SavedModel(job.card(), result["model"]).network()
    for name, mask in result["masks"].items():
        assert not network.get_parameter(name)[~mask].any()
    smaller = smaller_of(network, parent.card)
    assert smaller.report is not None
    assert smaller.report.after.weights < smaller.report.before.weights
    images = torch.randn(5, 3, 32, 32)
    with torch.no_grad():
        torch.testing.assert_close(smaller.network(images), network(images), rtol=1e-4, atol=1e-4)
    assert not job.card().is_quantized


def test_the_summary_says_what_was_measured(finished):
    job, events, _ = finished
    summary = summary_of(events)
    last = tried_in(events)[-1]
    assert summary.speedup == last.speedup
    assert summary.speedup_interval == (last.least, last.most)
    assert summary.milliseconds == last.milliseconds
    assert summary.parent_milliseconds == last.parent_milliseconds
    assert summary.epochs == last.epochs
    assert summary.density == last.density
    said = [event.text for event in events if isinstance(event, Note)]
    (words,) = [text for text in said if text.startswith("One image takes")]
    assert (
        f"{last.speedup:.2f}x as fast (95% interval {last.least:.2f} to {last.most:.2f})" in words
    )
    assert summary.packed_bytes == len(job.files()["packed.secateur"])
    assert (summary.test_half, summary.test_images) == ("B", 180)
    assert {event.epochs for event in tried_in(events)} == {0, 1, 2}


def test_the_result_was_fast_enough_or_the_run_says_that_it_was_not(finished):
    _, events, _ = finished
    warnings = [event.text for event in events if isinstance(event, Note)]
    missed = any("misses the limit by" in text for text in warnings)
    assert missed == (tried_in(events)[-1].least < 1.05)


def test_a_limit_that_nothing_reaches_ends_in_the_nearest_and_says_by_how_much(parent, digits):
    recipe = recipe_of(faster=1000.0, minutes=1e-6, tuning_epochs=None)
    events = list(FasterJob(recipe, parent, digits).events())
    missed, untuned = [e.text for e in events if isinstance(e, Note) and e.level == "warning"]
    assert "No number of channels that was tried makes the network 1000x as fast" in missed
    assert "For lack of time, the network is not tuned." in untuned
    last = tried_in(events)[-1]
    assert summary_of(events).speedup == last.speedup


@pytest.mark.parametrize("stop", [pytest.param("epoch 1", marks=pytest.mark.slow), "in epoch 2"])
def test_a_tuning_that_is_stopped_comes_to_the_same_file(stop, finished, parent, digits):
    job, events, checkpoints = finished
    resumed = FasterJob(job.recipe, parent, digits, checkpoints[stop])
    rest = list(resumed.events())
    assert resumed.files() == job.files()
    assert_same(resumed.result(), job.result())
    assert summary_of(rest).speedup == summary_of(events).speedup
    assert all(event.epochs == 2 for event in tried_in(rest)[:1])  # nothing is searched again


def test_a_search_that_is_stopped_measures_nothing_twice(finished, parent, digits):
    job, events, checkpoints = finished
    resumed = FasterJob(job.recipe, parent, digits, checkpoints["search"]).events()
    candidates = (event for event in resumed if isinstance(event, ThinnedCandidate))
    again = [figures(event) for event in itertools.islice(candidates, 3)]
    assert again == [figures(event) for event in tried_in(events)[:3]]


def figures(event):
    return {name: value for name, value in event.to_dict().items() if name != "time"}


# -- what cannot work --


def test_a_network_without_removable_channels_is_refused():
    network = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 5))
    card = ModelCard(
        model="LeNet5", dataset="Digits", classes=("a",) * 5, mean=(0,) * 3, std=(1,) * 3, side=8
    )

    class OneLayer(SavedModel):
        def network(self):
            return network.eval()

    with pytest.raises(UserError, match="LeNet5 has no channel that can be removed"):
        check_channels(OneLayer(card, network.state_dict()))
    check_channels(
        SavedModel(
            card.model_copy(update={"side": 32, "classes": ("a",) * 10}),
            build("LeNet5", 10).state_dict(),
        )
    )


def test_a_recipe_takes_one_limit_which_makes_it_faster():
    assert recipe_of().byte_limit(1000) is None
    with pytest.raises(ValueError, match="exactly one of bytes, smaller, lose, faster and layers"):
        BudgetRecipe(faster=2, bytes=100)
    for faster in (1.0, 0.5, 2000):
        with pytest.raises(ValueError, match="faster"):
            BudgetRecipe(faster=faster)
