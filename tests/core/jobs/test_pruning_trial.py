"""The accuracy at several densities: as after the job's pruning, on images that it did not use."""

import pytest

from core import data
from core.config import PruneRecipe, TrainRecipe
from core.data.batches import DeviceImages
from core.events import Progress
from core.jobs.compression_images import CompressionImages
from core.jobs.prune import PruneJob
from core.jobs.pruning_trial import TriedDensity, try_densities
from core.jobs.train import TrainJob
from core.models.saved import SavedModel
from core.training.device import choose_device
from core.training.evaluate import evaluate
from core.training.held_back import split_for_compression
from core.training.setup import with_normalisation_of

RECIPE = PruneRecipe(method="magnitude", density=0.2, device="cpu", images=128)


@pytest.fixture(scope="module", params=[0, 143], ids=["nothing held back", "143 held back"])
def parent(request, digits):
    job = TrainJob(
        TrainRecipe(
            model="LeNet5",
            dataset="Digits",
            prune=None,
            epochs=2,
            batch_size=32,
            lr=0.05,
            validation=request.param,
            device="cpu",
        ),
        digits,
    )
    for _ in job.events():
        pass
    return SavedModel(job.card(), job.result()["model"])


def choosing_images(parent, recipe, root):
    dataset = with_normalisation_of(parent.card, data.load("Digits", root))
    split = split_for_compression(parent.card, recipe, dataset)
    return CompressionImages(recipe, parent.card, dataset, split, choose_device("cpu"))


@pytest.mark.parametrize(
    ("parent", "method"),
    [
        (0, "magnitude"),
        (143, "compensated"),
        pytest.param(0, "compensated", marks=pytest.mark.slow),
        pytest.param(143, "magnitude", marks=pytest.mark.slow),
    ],
    indirect=["parent"],
)
def test_it_is_the_accuracy_of_the_jobs_network_on_other_images(method, parent, digits):
    recipe = RECIPE.model_copy(update={"method": method})
    tried: dict[float, TriedDensity] = {}
    events = list(try_densities(parent, recipe, digits, [0.5, 0.2], tried))
    assert all(isinstance(event, Progress) and event.unit == "densities" for event in events)
    assert [event.done for event in events] == sorted(event.done for event in events)
    assert list(tried) == [1.0, 0.5, 0.2]
    images = choosing_images(parent, recipe, digits).choosing()
    job = PruneJob(recipe, parent, digits)
    for _ in job.events():
        pass
    network = SavedModel(job.card(), job.result()["model"]).network()
    assert tried[0.2] == (0.2, evaluate(network, images)[1], len(images))
    assert tried[1.0] == (1.0, evaluate(parent.network(), images)[1], len(images))


def test_it_never_sees_the_test_images(parent, digits, monkeypatch):
    def refuse(self):
        raise AssertionError("the test images were asked for")

    monkeypatch.setattr(CompressionImages, "test", property(refuse))
    for method in ("magnitude", "snip", "compensated"):
        recipe = RECIPE.model_copy(update={"method": method})
        assert list(try_densities(parent, recipe, digits, [0.2], {}))


def test_it_learns_from_no_image_that_it_is_measured_on(parent, digits):
    images = choosing_images(parent, RECIPE, digits)
    assert not set(rows(images.choosing())) & set(rows(images.learning()))


def rows(images: DeviceImages):
    return [image.tobytes() for image in images.batch(slice(0, len(images)))[0].numpy()]


def test_fine_tuning_changes_nothing(parent, digits):
    tuned = RECIPE.model_copy(update={"epochs": 3, "gradual": 2})
    tried: list[dict[float, TriedDensity]] = [{}, {}]
    for recipe, memory in zip((RECIPE, tuned), tried, strict=True):
        list(try_densities(parent, recipe, digits, [0.2], memory))
    assert tried[0] == tried[1]


def test_a_stopped_trial_continues(parent, digits):
    whole: dict[float, TriedDensity] = {}
    list(try_densities(parent, RECIPE, digits, [0.5, 0.2], whole))
    part: dict[float, TriedDensity] = {}
    steps = try_densities(parent, RECIPE, digits, [0.5, 0.2], part)
    while 0.5 not in part:
        next(steps)
    steps.close()
    assert part == {density: whole[density] for density in (1.0, 0.5)}
    events = list(try_densities(parent, RECIPE, digits, [0.5, 0.2], part))
    assert part == whole
    assert {event.total for event in events} == {1}
    assert list(try_densities(parent, RECIPE, digits, [0.5, 0.2], part)) == []
