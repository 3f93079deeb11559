"""In what runs differ: settings, and figures against their parent."""

import pytest

from core.config import AffineRecipe, BudgetRecipe, KMeansRecipe, Prune, TrainRecipe
from core.runs.comparison.compared import compared_runs
from core.runs.comparison.differences import (
    change_against_parent,
    change_text,
    difference_texts,
    setting_labels,
    telling_settings,
    value_text,
)
from core.runs.comparison.figures import Figures
from core.runs.comparison.settings import settings_of
from core.runs.run import write_status
from tests.sample_runs import RECIPE, sample_run, summary_of


def settings(*recipes):
    return settings_of(recipes)


def test_settings_of_a_step_that_only_some_have_are_left_out_if_they_are_the_same():
    dense = TrainRecipe(prune=None)
    clusters = [settings(dense, KMeansRecipe(clusters=count)) for count in (4, 8)]
    assert telling_settings([settings(dense), settings(RECIPE)])[:2] == [
        "train.model",
        "train.dataset",
    ]
    assert telling_settings([settings(dense), *clusters]) == ["kmeans.clusters"]
    assert telling_settings([settings(dense), clusters[0]]) == ["kmeans.clusters"]
    tuned = settings(dense, KMeansRecipe(clusters=4, epochs=2))
    assert telling_settings([clusters[0], tuned, settings(dense)]) == [
        "kmeans.epochs",
        "kmeans.clusters",
    ]
    assert telling_settings([clusters[0], clusters[0]]) == []


def test_equal_labels_get_the_kind():
    labels = setting_labels(["train.seed", "kmeans.seed", "affine.bits"])
    assert labels == {
        "train.seed": "Seed (trained)",
        "kmeans.seed": "Seed (clusters)",
        "affine.bits": "Bits",
    }


def test_differences_in_one_line(store):
    denser = RECIPE.model_copy(update={"prune": Prune(density=0.5), "lr": 0.2})
    runs = [sample_run(store), sample_run(store, recipe=denser)]
    texts = difference_texts(compared_runs(runs, {run.id: run for run in runs}))
    assert texts[runs[0].id] == "Density: 0.1, Learning rate: 0.1"
    assert texts[runs[1].id] == "Density: 0.5, Learning rate: 0.2"


def test_values_as_text():
    values = [None, True, False, 0.00050, 7, "step"]
    assert [value_text(value) for value in values] == ["—", "yes", "no", "0.0005", "7", "step"]


@pytest.mark.parametrize(
    ("now", "before", "text"),
    [
        (Figures(0.9, 100), Figures(0.91, 520), "−1.00 points, 5.2 times smaller"),
        (Figures(0.92, 520), Figures(0.91, 100), "+1.00 points, 5.2 times larger"),
        (Figures(0.9), Figures(0.9, 100), "same accuracy"),
        (Figures(None, 50), Figures(0.9, 100), "2.0 times smaller"),
        (Figures(None, 100), Figures(0.9, 104), "same size"),
        (Figures(None, 106), Figures(0.9, 100), "1.1 times larger"),
        (Figures(), Figures(0.9, 100), ""),
    ],
)
def test_the_change_against_the_parent(now, before, text):
    assert change_text(now, before) == text


def finished(store, recipe, parent, **figures):
    """A finished run on a parent, without files, whose summary has these figures."""
    run = store.create(recipe, parent=parent.id)
    summary = summary_of(run, **figures)
    status = {
        "state": "finished",
        "summary": summary,
        "test_accuracy": summary.test_accuracy,
    }
    write_status(run.path, run.status.model_copy(update=status))
    return store.get(run.id)


def change_of(run, *ancestors):
    [compared] = compared_runs([run], {one.id: one for one in (run, *ancestors)})
    return change_against_parent(compared)


def test_an_accuracy_of_half_the_test_images_is_compared_on_the_same_half(store):
    trained = sample_run(store)  # 0.9 on all test images
    halved = {"test_accuracy": 0.88, "test_half": "B"}
    budget = BudgetRecipe(smaller=4)
    searched = finished(store, budget, trained, parent_accuracy=0.93, **halved)
    assert change_of(searched, trained) == "−5.00 points"
    assert change_of(finished(store, budget, trained, **halved), trained) == "not known"


def test_an_accuracy_of_all_test_images_is_not_compared_with_one_of_half_of_them(store):
    trained = sample_run(store)
    searched = sample_run(store)  # its model can be quantized
    summary = summary_of(searched, test_accuracy=0.9, test_half="B")
    write_status(searched.path, searched.status.model_copy(update={"summary": summary}))
    searched = store.get(searched.id)
    rounded = finished(store, AffineRecipe(), searched, test_accuracy=0.86, parent_accuracy=0.87)
    assert change_of(rounded, searched).startswith("−1.00 points")
    rounded = finished(store, AffineRecipe(), trained, test_accuracy=0.86, parent_accuracy=0.87)
    assert change_of(rounded, trained).startswith("−4.00 points")
