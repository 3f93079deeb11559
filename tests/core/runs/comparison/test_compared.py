"""Runs prepared for a comparison: names, ancestors, and all figures as rows."""

from typing import get_args

import pytest

from core.config import AffineRecipe, KMeansRecipe, Recipe
from core.runs.comparison.compared import (
    KINDS,
    can_be_compared,
    compared_runs,
    lineage_of,
    method_of,
    near_family,
    unique_names,
    with_ancestors,
)
from core.runs.comparison.differences import setting_labels
from core.runs.comparison.figures import METRICS
from core.runs.comparison.rows import figure_rows
from tests.sample_runs import sample_run

KIND_NAMES = [recipe.model_fields["kind"].default for recipe in get_args(get_args(Recipe)[0])]


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


def test_the_near_family_is_the_parent_the_run_and_its_children(store, chain):
    sample_run(store, name="stranger")
    ids = [run.id for run in chain]
    families = [[member.id for member in near_family(run, store.list())] for run in chain]
    assert families == [ids[:2], ids, ids[1:]]
    runs = by_id(store)
    assert [can_be_compared(runs[run_id]) for run_id in ids] == [True, True, False]


@pytest.mark.parametrize("kind", KIND_NAMES)
def test_every_recipe_that_has_a_result_has_a_word(kind):
    assert kind in KINDS or kind in ("answers", "latency")


# -- all figures --


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
