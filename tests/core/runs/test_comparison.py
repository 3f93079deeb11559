"""Runs prepared for a comparison: names, ancestors, differences and the Pareto frontier."""

import pytest

from core.config import AffineRecipe, KMeansRecipe, Prune, TrainRecipe
from core.runs.comparison import (
    change_text,
    compared_runs,
    difference_texts,
    lineage_of,
    method_of,
    setting_labels,
    telling_settings,
    unique_names,
    value_text,
    with_ancestors,
)
from core.runs.figure_table import figure_rows
from core.runs.figures import METRICS, Figures
from core.runs.frontier import frontier
from core.runs.settings import settings_of
from tests.sample_runs import RECIPE, sample_run


def by_id(store):
    return {run.id: run for run in store.list()}


@pytest.fixture
def chain(store):
    """A training, clusters made from it, and bits made from these."""
    first = sample_run(store, name="first")
    second = store.create(KMeansRecipe(), "second", parent=first.id)
    (second.path / "model.safetensors").write_bytes(b"weights")
    status = store.get(second.id).status.model_copy(update={"state": "finished"})
    (second.path / "status.json").write_text(status.model_dump_json())
    return [first, second, store.create(AffineRecipe(), "third", parent=second.id)]


# -- names and ancestors --


def test_equal_names_get_the_id(store):
    one = sample_run(store, name="same")
    two = sample_run(store, name="same")
    other = sample_run(store, name="other")
    names = unique_names([one, two, other])
    assert names == {one.id: f"same ({one.id})", two.id: f"same ({two.id})", other.id: "other"}


def test_a_name_that_is_another_one_with_its_id_gets_its_own_id(store):
    one = sample_run(store, name="same")
    two = sample_run(store, name="same")
    named = sample_run(store, name=f"same ({one.id})")
    assert unique_names([one, two, named]) == {
        one.id: f"same ({one.id})",
        two.id: f"same ({two.id})",
        named.id: f"same ({one.id}) ({named.id})",
    }


def test_a_lineage_is_as_the_store_reads_it(store, chain):
    runs = by_id(store)
    for run in chain:
        ids = [member.id for member in lineage_of(runs[run.id], runs)]
        assert ids == [member.id for member in store.lineage(run.id)]
    assert method_of(lineage_of(runs[chain[2].id], runs)) == "snip"


def test_a_deleted_parent_ends_the_lineage_and_a_circle_does_not_hang(store, chain):
    first, _, third = (store.get(run.id) for run in chain)
    assert lineage_of(third, {third.id: third}) == (third,)
    config = first.config.model_copy(update={"parent": third.id})
    (first.path / "config.json").write_text(config.model_dump_json())
    circle = by_id(store)
    assert len(lineage_of(circle[third.id], circle)) == 3


def test_ancestors_are_added_once(store, chain):
    runs = by_id(store)
    compared = compared_runs([runs[chain[1].id], runs[chain[2].id]], runs)
    assert [run.id for run in with_ancestors(compared)] == [run.id for run in chain]
    assert [run.kind for run in compared] == ["clusters", "bits"]
    assert compared[0].parent == runs[chain[0].id]
    assert compared_runs([runs[chain[0].id]], runs)[0].parent is None


# -- differences --


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
    texts = difference_texts(compared_runs(runs, by_id(store)))
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


def test_the_table_of_all_figures(store, chain):
    runs = by_id(store)
    compared = compared_runs([runs[run.id] for run in chain], runs, {chain[0].id: 651.0})
    labels = setting_labels(["train.lr", "kmeans.clusters"])
    first, second, third = figure_rows(compared, labels)
    assert first["Learning rate"] == second["Learning rate"] == "0.1"
    assert (first["Clusters"], second["Clusters"]) == (None, "5")
    assert (first["macs"], first["bytes"], first["kept"]) == (651.0, 7, 120)
    interval = (first["accuracy low"], first["accuracy high"])
    assert interval == compared[0].figures.interval
    assert (second["parent"], second["made by"]) == (chain[0].id, "clusters")
    unknown = [name for name in METRICS if name != "density"]
    assert [third[name] for name in unknown] == [None] * len(unknown)
    assert third["accuracy low"] is None


# -- the Pareto frontier --


def test_the_frontier_by_hand():
    points = [(1, 0.5), (2, 0.9), (3, 0.8), (4, 0.95), (2, 0.7)]
    assert frontier(points) == [0, 1, 3]


def test_equal_points_are_on_the_frontier_together():
    assert frontier([(1, 0.5), (1, 0.5), (2, 0.5)]) == [0, 1]


def test_of_the_same_size_only_the_best_is_on_the_frontier():
    assert frontier([(1, 0.5), (1, 0.6), (2, 0.6)]) == [1]


def test_the_directions_of_the_frontier():
    points = [(1, 1), (2, 2), (1, 2), (2, 1)]
    best = {(True, True): [1], (True, False): [3], (False, True): [2], (False, False): [0]}
    for (more_x, more_y), indices in best.items():
        assert frontier(points, more_x, more_y) == indices


def test_the_frontier_of_nothing_and_of_one():
    assert frontier([]) == []
    assert frontier([(3, 4)]) == [0]
