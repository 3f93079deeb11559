"""The page of sweeps: its form makes recipes, and one sweep shows how far it is."""

import json

import pytest
from streamlit.testing.v1 import AppTest

from core.config import AffineRecipe, BudgetRecipe, KMeansRecipe, Prune, TrainRecipe
from core.config.budget import NOTHING_FITS
from core.models import build, saved
from core.runs import launch as run_launch
from core.runs.run import MODEL
from core.runs.sweeps import launch
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.store import SweepStore
from pages.parts.sweep.form import forecast
from pages.parts.sweep.form.base import address_of_recipe
from pages.parts.sweep.link import address_of_quantization
from tests.core.runs.sweeps.test_budgets import fail, fit
from tests.core.runs.sweeps.test_budgets import make as make_budgets
from tests.core.runs.sweeps.test_points import finish
from tests.pages.open_page import ENTRY, open_page, texts
from tests.pages.test_train import opened as opened_train
from tests.sample_runs import CARD, sample_run

LISTS: Lists = {
    "model": ["LeNet5"],
    "dataset": ["Digits"],
    "prune.density": [1, 0.1],
    "prune.method": ["snip", "random"],
    "seed": [0, 1],
}


@pytest.fixture
def app(digits):
    forecast._epoch_seconds().clear()  # it is shared by all sessions of a server
    return AppTest.from_file(str(ENTRY), default_timeout=60)


@pytest.fixture
def store(app, store, monkeypatch):
    monkeypatch.setenv("SECATEUR_RUNS", str(store.root))
    return store


@pytest.fixture
def spawned(monkeypatch):
    """The folders for which a process was spawned; none is."""
    folders = []
    monkeypatch.setattr(
        launch, "spawn_worker", lambda module, folder, data: folders.append(folder.name)
    )
    monkeypatch.setattr(run_launch, "_spawn", lambda run, data: None)
    return folders


def opened(app, **params):
    return open_page(app, "sweep", **params)


def reopened(app, **params):
    """Come back to the page from another one, with this address."""
    app.switch_page("pages/runs.py").run()
    return opened(app, **params)


def written(app, name):
    """What the address holds under this name."""
    value = app.query_params[name]
    return value[0] if isinstance(value, list) else value


def metrics(app):
    return {metric.label: metric.value for metric in app.metric}


def test_the_form_says_what_it_takes_and_starts_one_sweep(app, store, spawned):
    opened(app)
    assert metrics(app)["Runs"] == "10"  # two dense, and two methods x two densities x two seeds
    assert metrics(app)["Training, about"] != "unknown"
    app.multiselect(key="densities").set_value(["100%", "10%"]).run()
    assert metrics(app)["Runs"] == "6"
    assert app.code[0].value.endswith(
        "--method snip random --retrain 1.0 0.1 --prunetype False --lr 0.05 --epochs 10 --seed 0 1"
    )
    app.button(key="start_sweep").click().run()
    assert not app.exception
    sweep = SweepStore(store).list()[0]
    assert spawned == [sweep.id]
    assert len(sweep.steps) == 6
    assert written(app, "sweep") == sweep.id
    assert app.title[0].value == r"LeNet5 · Digits · 6 combinations"


def test_one_combination_is_not_called_combinations(app, store, spawned):
    opened(app)
    app.multiselect(key="densities").set_value(["100%"]).run()
    app.number_input(key="seeds").set_value(1).run()
    runs = next(metric for metric in app.metric if metric.label == "Runs")
    assert (runs.value, runs.delta) == ("1", "for 1 combination")
    app.button(key="start_sweep").click().run()
    assert not app.exception
    assert app.title[0].value == "LeNet5 · Digits · 1 combination"


def test_a_density_can_be_typed_and_a_wrong_one_is_explained(app, store):
    opened(app, densities="3%,0.02,x", methods="snip")
    assert app.multiselect(key="densities").value == ["3%", "0.02"]
    assert "--retrain 0.03 0.02" in app.code[0].value
    app.session_state["densities"] = ["3%", "many"]
    app.run()
    assert "Densities takes numbers, got 'many'" in texts(app).replace("\\", "")
    assert app.button(key="start_sweep").disabled
    app.session_state["densities"] = []
    app.run()
    assert "Choose at least one value of every list" in texts(app)


def test_points_are_added_to_a_sweep_that_exists(app, store, spawned):
    sweep = SweepStore(store).create(Grid(LISTS).chains())
    opened(app)
    app.selectbox[-1].set_value(sweep.id).run()
    assert f"--add-to {sweep.id}" in app.code[0].value
    app.button(key="start_sweep").click().run()
    assert len(SweepStore(store).list()) == 1
    assert len(SweepStore(store).get(sweep.id).steps) > len(sweep.steps)


def test_a_training_becomes_a_sweep_with_all_its_settings(app, store):
    recipe = TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=Prune(method="random", density=0.03, layerwise=True),
        epochs=7,
        lr=0.02,
        momentum=0.8,
        train_images=500,
        validation=143,
    )
    opened(app, **address_of_recipe(recipe))
    command = app.code[0].value
    for words in (
        "--method random",
        "--retrain 0.03",
        "--prunetype True",
        "--epochs 7",
        "--lr 0.02",
        "--momentum 0.8",
        "--trainimages 500",
        "--validation 143",
    ):
        assert words in command
    assert "momentum 0.8" in texts(app)
    app.button(key="reset_base").click().run()
    assert "--momentum" not in app.code[0].value


def test_one_training_after_the_other_leaves_nothing_behind(app, store):
    run = sample_run(store)
    opened(app, **address_of_quantization(AffineRecipe(bits=4), run.id))
    assert app.code[0].value == (
        f"python -m core sweep --parent {run.id} --bits 4 --rounding compensated"
    )
    recipe = TrainRecipe(model="LeNet5", dataset="Digits", lr=0.05, train_images=500, seed=5)
    reopened(app, **address_of_recipe(recipe))
    assert "--parent" not in app.code[0].value
    assert "--trainimages 500" in app.code[0].value
    assert "--seed 5 6" in app.code[0].value
    reopened(app, **address_of_recipe(recipe.model_copy(update={"train_images": None})))
    assert "--trainimages" not in app.code[0].value


def test_a_dense_training_becomes_a_sweep(app, store):
    recipe = TrainRecipe(model="LeNet5", dataset="Digits", prune=None, lr=0.05)
    opened(app, **address_of_recipe(recipe))
    assert "--retrain 1.0" in app.code[0].value
    assert metrics(app)["Runs"] == "2"


def test_a_percentage_and_a_fraction_are_one_density(app, store):
    opened(app, densities="0.7%,0.007", methods="snip")
    assert "--retrain 0.007 --" in app.code[0].value
    assert metrics(app)["Runs"] == "2"  # one density, two seeds


@pytest.mark.parametrize(
    "base",
    [
        '{"prune": null}',
        '{"prune":{"method":"snip"}}',
        "x",
        "[]",
        '{"momentum": 5}',
        '{"nothing": 1}',
        "{}",
        "null",
    ],
)
def test_a_hostile_base_is_ignored(app, store, base):
    opened(app, base=base)
    assert "--momentum" not in app.code[0].value


def test_the_train_page_leads_here(app, store):
    opened_train(app)
    app.button(key="to_sweep").click().run()
    assert not app.exception
    assert app.title[0].value == "Sweep"
    assert json.loads(written(app, "base"))["validation"] == 143


def test_without_a_trained_network_there_is_nothing_to_quantize(app, store):
    opened(app, start="quantize")
    assert "There is no model yet" in texts(app)


def test_a_trained_network_is_quantized_in_several_ways(app, store):
    run = sample_run(store)
    recipe = KMeansRecipe(clusters=6, rounding="nearest")
    opened(app, **address_of_quantization(recipe, run.id))
    assert app.code[0].value == (
        f"python -m core sweep --parent {run.id} --clusters 6 --rounding nearest"
    )


def test_a_sweep_grows(app, store, spawned):
    sweeps = SweepStore(store)
    sweep = sweeps.create(Grid(LISTS).chains())
    opened(app, sweep=sweep.id)
    assert "No combination is finished yet" in texts(app)
    app.button(key="resume_sweep").click().run()
    assert spawned == [sweep.id]
    assert app.button(key="cancel_sweep")
    for number, step in enumerate(sweep.steps[:4]):
        finish(sweeps, step, 0.5 + 0.1 * number)
    opened(app, sweep=sweep.id)
    assert len(app.dataframe[0].value) == 4
    assert "Each point is one run on 100 test images" in texts(app)
    app.button(key="cancel_sweep").click().run()
    assert sweep.cancel_file.exists()


def test_a_finished_sweep_is_compared_and_deleted(app, store):
    sweeps = SweepStore(store)
    sweep = sweeps.create(Grid(LISTS).chains(), "my *sweep*")
    for step in sweep.steps:
        finish(sweeps, step, 0.5)
    opened(app)
    assert "6 of 6 runs" in texts(app)
    opened(app, sweep=sweep.id)
    assert app.title[0].value == r"my \*sweep\*"
    app.button(key="delete_sweep").click().run()
    assert sweeps.list() == []
    assert len(store.list()) == 6


@pytest.mark.parametrize("sweep_id", ["0123456789", "../x", "a" * 200])
def test_an_address_without_a_sweep(app, store, sweep_id):
    opened(app, sweep=sweep_id)
    assert "There is no sweep" in texts(app) or "is not a sweep's id" in texts(app)


def test_a_sweep_of_budgets_from_the_form(app, store, spawned):
    opened(app, densities="100%,50%", methods="snip", compress="budget", limit_bytes="30000,9000")
    app.number_input(key="seeds").set_value(1).run()
    app.number_input(key="sweep_minutes").set_value(0.5).run()
    assert metrics(app)["Runs"] == "6"
    assert metrics(app)["Budgets, about"] == "2 min 0 s"
    assert app.code[0].value.endswith("--seed 0 --bytes 30000 9000 --minutes 0.5")
    app.button(key="start_sweep").click().run()
    assert not app.exception
    sweep = SweepStore(store).list()[0]
    recipes = [steps[-1].recipe for steps in sweep.members]
    limits = [recipe.bytes for recipe in recipes if isinstance(recipe, BudgetRecipe)]
    assert limits == [30000, 9000, 30000, 9000]


def test_a_limit_that_is_no_number_is_explained(app, store):
    opened(app, compress="budget", limit="lose")
    assert "--lose 0.5 --minutes 2.0" in app.code[0].value
    app.session_state["limit_lose"] = ["half"]
    app.run()
    assert "Points of accuracy takes numbers, got 'half'" in texts(app).replace("\\", "")


def test_a_trained_network_is_fitted_into_budgets(app, store, spawned):
    run = sample_run(store)
    content = saved.model_bytes(build("LeNet5", 10).state_dict(), CARD)
    (run.path / MODEL).write_bytes(content)
    opened(app, start="quantize", parent=run.id, compress_by="budget", limit="lose")
    assert app.code[0].value == f"python -m core sweep --parent {run.id} --lose 0.5 --minutes 2.0"


def test_the_picture_of_budgets_names_the_best(app, store, spawned):
    sweeps = SweepStore(store)
    sweep = make_budgets(sweeps)
    opened(app, sweep=sweep.id)
    assert "No network is in a budget yet" in texts(app)
    dense, half, quarter = [steps[-1] for steps in sweep.members]
    fit(sweeps, half, 980, half_a=0.85, half_b=0.82)
    fail(sweeps, dense, f"{NOTHING_FITS} 1,000 bytes: the smallest has 1,200 bytes.")
    fit(sweeps, quarter, 900, half_a=0.80, half_b=0.84)
    opened(app, sweep=sweep.id)
    said = texts(app).replace("\\", "")
    assert "Best within 1,000 bytes: LeNet5 at 50% in 980 bytes, 82.00%" in said
    assert "1 network could not fit" in said
    assert "chosen by half A, so half B had no part in it" in said
    assert "failed, the first with" not in said
    assert app.get("progress")[0].proto.text == "6 of 6 runs"
    rows = app.dataframe[0].value
    assert list(rows["Bytes"].dropna()) == [980, 900]
    assert list(rows["Tested on"].dropna().unique()) == ["all test images", "half B"]
    assert list(rows["Status"]).count("✕ too large") == 1
