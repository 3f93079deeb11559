"""The comparison of several runs."""

import json
import shutil
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from filelock import FileLock
from streamlit.testing.v1 import AppTest

from core.compress import codec
from core.config import ImportRecipe, KMeansRecipe, Prune
from core.data import DATASETS
from core.events import Pruned, Quantized, QuantizedLayer
from core.forecast.cost import layer_costs
from core.models import build_on_meta
from core.models.card import ModelCard
from core.runs.comparison.compared import compared_runs, lineage_of
from core.runs.run import PACKED, write_status
from pages.parts.compare import cached
from pages.parts.compare.cached import _macs_left
from pages.parts.compare.chosen import MOST_RUNS
from pages.parts.compare.picked import _take_picks, start_picking
from pages.parts.compare.table import _choose_selected_rows
from pages.parts.compare.views.scatter import _chance
from pages.parts.shared.words import plain
from tests.sample_runs import DENSE, RECIPE, sample_run, summary_of
from tests.written_address import written_address

ENTRY = str(Path(__file__).parents[2] / "streamlit_app.py")
VIEWS = ["Scatter", "Map", "Curves", "Settings", "Layers"]


def opened(**address):
    """The Compare page, at an address."""
    app = AppTest.from_file(ENTRY, default_timeout=60).run()
    app.switch_page("pages/compare.py")
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def texts(app):
    kinds = ("markdown", "caption", "error", "warning", "info")
    return " ".join(element.value for kind in kinds for element in app.get(kind))


def listed(app):
    return app.dataframe[0].value["name"].tolist()


@pytest.fixture
def two(store):
    """A pruned network and a dense one, which is the newer run."""
    return [
        sample_run(store, name="pruned", test_accuracy=0.8),
        sample_run(store, name="dense", recipe=DENSE),
    ]


@pytest.fixture
def shared(store, two):
    """The clusters that were made from the pruned network."""
    run = store.create(KMeansRecipe(clusters=5), parent=two[0].id)
    layer: QuantizedLayer = {
        "weights": 150,
        "levels": 5,
        "bits": 3,
        "bytes": 60,
        "snr": 12.0,
        "pinned_zeros": 50,
    }
    event = json.dumps(Quantized({"features.0.weight": layer}).to_dict())
    (run.path / "events.jsonl").write_text(event + "\n")
    (run.path / "model.safetensors").write_bytes(b"weights")
    changes = {
        "state": "finished",
        "test_accuracy": 0.75,
        "summary": summary_of(run, kept=120, test_accuracy=0.75),
    }
    write_status(run.path, run.status.model_copy(update=changes))
    return store.get(run.id)


# -- empty states --


@pytest.mark.parametrize("count", [0, 1])
def test_a_comparison_takes_two_runs(store, count):
    for _ in range(count):
        sample_run(store)
    sample_run(store, "failed")
    app = opened()
    assert app.title[0].value == "Compare"
    assert "takes two" in app.info[0].value
    assert not app.dataframe
    assert {"Train", "Quantize", "Runs"} <= {link.proto.label for link in app.get("page_link")}


def test_nothing_is_chosen_until_somebody_does(two):
    app = opened()
    assert listed(app) == ["dense", "pruned"]
    assert "No run is chosen" in app.info[0].value
    assert not app.get("vega_lite_chart")
    app.button(key="compare_newest").click().run()
    assert not app.exception
    assert written_address(app)["runs"].split(",") == [two[1].id, two[0].id]
    assert app.get("vega_lite_chart")


# -- the selection --


def test_the_address_chooses_runs_and_follows_the_table(two):
    app = opened(runs=two[0].id)
    assert app.session_state["compare_table"]["selection"]["rows"] == [1]
    assert written_address(app) == {"runs": two[0].id}
    app.button(key="compare_all").click().run()
    assert app.session_state["compare_table"]["selection"]["rows"] == [0, 1]
    assert set(written_address(app)["runs"].split(",")) == {run.id for run in two}
    app.button(key="compare_none").click().run()
    assert written_address(app) == {}
    assert "No run is chosen" in app.info[0].value


def test_the_selected_rows_are_the_choice_and_hidden_runs_stay(monkeypatch):
    state = {
        "compare_runs": ("hidden", "second"),
        "compare_listed": ["first", "second", "third"],
        "compare_table": {"selection": {"rows": [2, 0, 9], "columns": [], "cells": []}},
    }
    monkeypatch.setattr("streamlit.session_state", state)
    _choose_selected_rows()
    assert state["compare_runs"] == ("hidden", "third", "first")


def test_a_filter_hides_chosen_runs_without_dropping_them(two, shared):
    app = opened(runs=two[0].id, search="DEN")
    assert listed(app) == ["dense"]
    assert "1 of them hidden" in texts(app)
    app.button(key="compare_all").click().run()
    assert written_address(app) == {"runs": f"{two[0].id},{two[1].id}", "search": "DEN"}


@pytest.mark.parametrize(
    ("filters", "names"),
    [
        ({"kind": "clusters"}, ["5 clusters"]),
        ({"kind": "trained"}, ["dense", "pruned"]),
        ({"method": "snip"}, ["5 clusters", "pruned"]),
        ({"method": "none"}, ["dense"]),
        ({"network": "LeNet5", "search": "ned"}, ["pruned"]),
        ({"dataset": "Digits"}, ["5 clusters", "dense", "pruned"]),
        ({"search": "nothing like it"}, []),
    ],
)
def test_filters(two, shared, filters, names):
    app = opened(**filters)
    if names:
        assert listed(app) == names
    else:
        assert "No run passes" in app.info[0].value
    assert written_address(app) == filters


def test_the_filter_by_tags(two, store):
    store.change_tags(two[0].id, add=["paper"])
    app = opened(tags="Paper")
    assert listed(app) == ["pruned"]
    assert written_address(app)["tags"] == "paper"


def test_an_unknown_filter_in_the_address_is_a_sentence(two):
    app = opened(network="<b>x</b>")
    assert plain("'<b>x</b>'") in app.warning[0].value
    assert len(listed(app)) == 2


@pytest.mark.parametrize(
    "runs", ["0123456789", "../../etc/passwd", "<script>,[x](http://a.b)", "é" * 5000, "\x00,,,;"]
)
def test_a_hostile_address_is_one_sentence(two, runs):
    app = opened(runs=f"{two[0].id},{runs}")
    (warning,) = app.warning
    assert "cannot be compared" in warning.value
    assert len(warning.value) < 300
    assert "<script>" not in warning.value
    assert written_address(app)["runs"] == two[0].id
    assert "No run is chosen" in opened(runs=runs).info[0].value


def test_a_run_named_twice_is_compared_once(two):
    app = opened(runs=f"{two[0].id},{two[1].id},{two[0].id}")
    assert not app.warning
    assert "more than once" in app.info[0].value
    assert written_address(app)["runs"] == f"{two[0].id},{two[1].id}"


def test_a_run_that_failed_is_not_compared_and_one_that_runs_is(store, two):
    failed = sample_run(store, "failed", done=2)
    assert "not finished" in opened(runs=f"{two[0].id},{failed.id}").warning[0].value
    running = sample_run(store, "running", done=2, name="running")
    with FileLock(running.path / "lock"):
        app = opened(runs=running.id)
        assert "figures so far" in texts(app)
        assert "running" in listed(app)
        assert app.button(key="compare_refresh")


def test_a_run_that_is_deleted_meanwhile_is_no_longer_compared(store, two):
    sample_run(store)
    app = opened(runs=f"{two[0].id},{two[1].id}")
    store.delete(two[0].id)
    app.run()
    assert not app.exception
    assert "**1** of 2 runs" in texts(app)
    assert "1 chosen run is no longer compared" in texts(app)
    assert app.session_state["compare_runs"] == (two[1].id,)


# -- what is picked --


def test_the_address_picks_runs_and_every_view_marks_them(two):
    runs = f"{two[0].id},{two[1].id}"
    for view in VIEWS:
        app = opened(runs=runs, picked=two[0].id, view=view)
        assert app.dataframe[0].value["picked"].tolist() == ["", "●"]
        assert "**1 picked:** pruned" in texts(app)
        assert written_address(app)["picked"] == two[0].id
    app.button(key="compare_only_picked").click().run()
    assert written_address(app)["runs"] == two[0].id
    app.button(key="compare_pick_none").click().run()
    assert "picked" not in written_address(app)
    assert app.dataframe[0].value["picked"].tolist() == ["", ""]


def test_only_chosen_runs_and_their_ancestors_can_be_picked(two, shared):
    app = opened(runs=shared.id, picked=f"{two[0].id},{two[1].id},<b>")
    assert "are left out" in app.info[0].value
    assert written_address(app)["picked"] == two[0].id
    app.button(key="compare_none").click().run()
    assert written_address(app) == {}


@pytest.fixture
def picking(monkeypatch):
    """The state of a page whose scatter plot was drawn, and a function that picks in it."""
    state: dict[str, Any] = {"compare_picked": ("a",)}
    monkeypatch.setattr("streamlit.session_state", state)
    table = pd.DataFrame({"id": ["a", "b", "c"], "x": [1, 2, 3], "y": [0.5, 0.9, 0.7]})

    def pick(**selection):
        key, start = start_picking("scatter")
        state[key] = {"selection": selection}
        _take_picks(key, table)
        return key, start, state["compare_picked"]

    return state, pick


def test_a_chart_keeps_its_key_while_it_shows_what_it_picked(picking):
    state, pick = picking
    first, start, picked = pick(picked=[{"id": "a"}, {"id": "b"}, {"id": "gone"}])
    assert (start, picked) == (("a",), ("a", "b"))
    second, start, picked = pick(picked=[])
    assert (second, start, picked) == (first, ("a",), ())
    state["compare_picked"] = ("c",)
    third, start, _ = pick(picked=[{"id": "c"}])
    assert third != first
    assert start == ("c",)


def test_a_rectangle_picks_what_is_in_it_and_the_chart_is_drawn_anew(picking):
    _, pick = picking
    rectangle = {"x": [3.5, 1.5], "y": [0.6, 1]}
    first, _, picked = pick(picked=[{"id": "a"}], brushed=rectangle)
    assert picked == ("a", "b", "c")
    second, start, picked = pick(brushed={})
    assert second != first
    assert (start, picked) == (("a", "b", "c"), ())


# -- the views --


@pytest.mark.parametrize("view", VIEWS)
def test_every_view_of_two_runs(two, shared, view):
    app = opened(runs=",".join(run.id for run in [*two, shared]), view=view)
    assert app.segmented_control(key="compare_view").value == view
    kind = "download_button" if view == "Settings" else "vega_lite_chart"
    assert len(app.get(kind)) == (2 if view == "Settings" else 1)
    address = written_address(app)
    assert address.get("view", "Scatter") == view


def test_the_scatter_names_the_frontier(two, shared):
    app = opened(runs=f"{two[0].id},{shared.id}", x="accuracy", y="kept", xlog="true")
    said = texts(app)
    assert "1. **pruned**" in said
    assert "95% intervals" in said
    assert app.toggle(key="compare_log_x_accuracy").value
    assert written_address(app)["x"] == "accuracy"
    assert written_address(app)["xlog"] == "true"


def macs_of(store, run):
    """The multiply-adds that remain, or None, as the page counts them."""
    runs_by_id = {listed.id: listed for listed in store.list()}
    return _macs_left(lineage_of(runs_by_id[run.id], runs_by_id), DATASETS["Digits"])


def write_pruned(run, density):
    """Write down that each layer of LeNet5 keeps this fraction of its weights."""
    layers = {
        cost.name: [round(density * cost.weights), cost.weights]
        for cost in layer_costs(build_on_meta("LeNet5", 10), 32)
    }
    kept, weights = (sum(counts) for counts in zip(*layers.values(), strict=True))
    (run.path / "events.jsonl").write_text(json.dumps(Pruned(kept, weights, layers).to_dict()))


def test_a_pruned_network_needs_the_density_of_every_layer(store, two):
    assert macs_of(store, two[0]) is None  # its events name two of five layers
    dense = macs_of(store, two[1])
    write_pruned(two[0], 0.5)
    assert macs_of(store, two[0]) == pytest.approx(dense / 2, rel=0.01)


def test_a_training_that_has_not_scored_yet_has_no_multiply_adds(store, two):
    queued = store.create(RECIPE)
    assert (queued.status.kept, queued.status.prunable) == (None, None)
    assert macs_of(store, queued) is None


def test_a_quantized_layer_says_nothing_of_the_others_of_a_pruned_import(store):
    recipe = ImportRecipe(
        file="net.pt", model="LeNet5", dataset="Digits", mean=(0, 0, 0), std=(1, 1, 1)
    )
    imported = sample_run(store, recipe=recipe, done=1, kept=300)
    run = store.create(KMeansRecipe(clusters=5), parent=imported.id)
    assert macs_of(store, imported) is macs_of(store, run) is None
    layer: QuantizedLayer = {
        "weights": 450,
        "levels": 5,
        "bits": 3,
        "bytes": 60,
        "snr": 12.0,
        "pinned_zeros": 50,
    }
    event = json.dumps(Quantized({"features.0.weight": layer}).to_dict())
    (run.path / "events.jsonl").write_text(event + "\n")
    assert macs_of(store, run) is None


def test_the_data_sets_are_read_once_and_the_multiply_adds_counted_once(two, monkeypatch):
    reads = []
    counts = []

    def read():
        reads.append(1)
        return DATASETS

    monkeypatch.setattr(cached, "dataset_infos", read)
    monkeypatch.setattr(cached, "count_macs", lambda *key: counts.append(key))
    cached._count_macs.cache_clear()
    runs_by_id = {run.id: run for run in two}
    for _ in range(3):
        cached.compare(two, runs_by_id, ("macs",))
    cached._count_macs.cache_clear()
    assert (len(reads), len(counts)) == (3, 2)


def test_one_run_of_an_unknown_data_set_does_not_hide_the_level_of_guessing(store, two):
    unknown = sample_run(store, recipe=RECIPE.model_copy(update={"dataset": "Birds"}))
    runs_by_id = {run.id: run for run in store.list()}
    compared = compared_runs([*two, unknown], runs_by_id)
    assert compared[2].figures.classes is None
    assert _chance(compared) == 0.1
    assert _chance(compared[2:]) is None


def test_the_multiply_adds_of_a_pruned_network(two, shared):
    write_pruned(two[0], 0.1)
    app = opened(runs=f"{two[0].id},{two[1].id},{shared.id}", x="macs")
    assert not app.warning
    assert "multiply-adds" in texts(app)
    assert "Not drawn" not in texts(app)


def test_figures_that_are_missing_are_named(two):
    app = opened(runs=f"{two[0].id},{two[1].id}", x="bits")
    assert "Not drawn" in texts(app)
    assert not app.get("vega_lite_chart")


def test_runs_on_other_images_are_doubted(store, two):
    other = sample_run(store, recipe=RECIPE.model_copy(update={"dataset": "CIFAR10"}))
    app = opened(runs=f"{two[0].id},{other.id}")
    assert "2 data sets" in app.warning[0].value


def test_the_settings_that_differ_and_the_file(store, two):
    recipe = RECIPE.model_copy(update={"prune": Prune(density=0.5), "lr": 0.01})
    other = sample_run(store, recipe=recipe, name="pruned")
    app = opened(runs=f"{two[0].id},{other.id}", view="Settings")
    table = app.dataframe[1].value
    assert table["name"].tolist() == [f"pruned ({two[0].id})", f"pruned ({other.id})"]
    assert list(table.columns)[3:] == ["Density", "Learning rate"]
    assert table["Density"].tolist() == ["0.1", "0.5"]
    button, _ = app.get("download_button")  # the other one is the report
    assert button.label == "CSV with all figures"
    same = opened(runs=two[0].id, view="Settings")
    assert list(same.dataframe[1].value.columns) == ["name", "accuracy", "size"]


def test_the_curves_leave_out_runs_without_epochs(two, shared):
    app = opened(runs=f"{two[0].id},{shared.id}", view="Curves", smooth="90", quantity="Loss")
    assert "1 chosen run has no epochs" in texts(app)
    assert app.slider(key="compare_smooth").value == 90
    assert app.segmented_control(key="compare_quantity").value == "Loss"
    assert opened(runs=two[0].id, view="Curves", smooth="nan").slider[0].value == 0
    assert not opened(runs=shared.id, view="Curves").get("vega_lite_chart")


def test_the_curves_by_step(two):
    app = opened(runs=two[0].id, view="Curves", course="By step")
    assert app.segmented_control(key="compare_course").value == "By step"
    (chart,) = app.get("vega_lite_chart")
    assert "Optimizer steps" in chart.proto.spec


def test_the_size_of_the_nodes_is_a_choice(two):
    runs = f"{two[0].id},{two[1].id}"
    for size in ("same", "density"):
        app = opened(runs=runs, view="Map", size=size)
        assert app.selectbox(key="compare_size").value == size
        assert written_address(app)["size"] == size
    assert "size" not in written_address(opened(runs=runs, view="Map", size="bytes"))


def test_the_layers_of_runs_side_by_side(two, shared):
    app = opened(runs=",".join(run.id for run in [*two, shared]), view="Layers")
    table = app.dataframe[1].value.set_index("layer")
    assert table[two[0].id].tolist() == pytest.approx([100 / 150, 20 / 1050])
    assert table[two[1].id].tolist() == [1, 1]
    assert table[shared.id].tolist() == pytest.approx([100 / 150, 20 / 1050])
    app = opened(runs=",".join(run.id for run in [*two, shared]), view="Layers", layer="bits")
    assert app.dataframe[1].value[shared.id].tolist() == [8 * 60 / 150]
    assert "only quantization" in texts(app)


def test_a_run_can_have_the_name_of_a_column(store, two):
    named = sample_run(store, name="layer")
    app = opened(runs=f"{two[0].id},{named.id}", view="Layers")
    assert list(app.dataframe[1].value.columns) == ["layer", two[0].id, named.id]


def test_the_map_adds_the_parent_that_is_not_chosen(shared):
    app = opened(runs=shared.id, view="Map", colour="bytes")
    (chart,) = app.get("vega_lite_chart")
    assert chart.proto.alt.startswith("2 runs")


def test_a_run_that_is_its_own_ancestor_does_not_break_a_view(store, two, shared):
    config = two[0].config.model_copy(update={"parent": shared.id})
    (two[0].path / "config.json").write_text(config.model_dump_json())
    for view in VIEWS:
        opened(runs=f"{two[0].id},{shared.id}", view=view)


# -- names and many runs --


def test_names_are_not_taken_for_markdown(store, two):
    evil = sample_run(store, name="![x](http://a.b/c.png)", test_accuracy=0.99)
    app = opened(runs=f"{two[0].id},{evil.id}")
    assert plain(evil.name) in texts(app)
    assert evil.name not in texts(app)


def test_an_import_is_compared(store, two):
    recipe = ImportRecipe(
        file="net.pt", model="LeNet5", dataset="Digits", mean=(0, 0, 0), std=(1, 1, 1)
    )
    imported = sample_run(store, recipe=recipe, done=1)
    for view in VIEWS:
        opened(runs=f"{two[0].id},{imported.id}", view=view)
    assert listed(opened(kind="imported")) == ["LeNet5 · Digits · net.pt"]


@pytest.mark.parametrize("view", VIEWS)
def test_as_many_runs_as_there_can_be(store, view):
    first = sample_run(store)
    for number in range(MOST_RUNS + 4):
        copy = store.root / f"{number:010x}"
        shutil.copytree(first.path, copy)
        config = first.config.model_copy(update={"id": copy.name, "created": float(number)})
        (copy / "config.json").write_text(config.model_dump_json())
    app = opened(runs=",".join(f"{number:010x}" for number in range(MOST_RUNS + 4)), view=view)
    assert f"first {MOST_RUNS}" in app.warning[0].value
    assert len(listed(app)) == MOST_RUNS + 5
    assert f"**{MOST_RUNS}** of {MOST_RUNS + 5}" in texts(app)
    assert len(written_address(app)["runs"].split(",")) == MOST_RUNS


def test_bits_come_from_the_packed_file(two):
    for run in two:
        card = ModelCard(model="LeNet5", classes=("a",), mean=(0.5,) * 3, std=(0.2,) * 3, side=32)
        codec.save(run.path / PACKED, {}, card)
    app = opened(runs=f"{two[0].id},{two[1].id}", x="bits")
    assert "bits a weight" in texts(app)


def test_the_page_of_all_runs_leads_here_from_two_finished_runs_on(store):
    def links():
        app = AppTest.from_file(ENTRY, default_timeout=60).run()
        app.switch_page("pages/runs.py").run()
        return [link.proto.page for link in app.get("page_link")]

    sample_run(store)
    assert "compare" not in links()
    sample_run(store)
    assert "compare" in links()
