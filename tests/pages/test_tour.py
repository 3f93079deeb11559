"""The tour: its three runs, its four steps, and what it says when a run fails."""

from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.compress import codec
from core.config import KMeansRecipe
from core.models import build, saved
from core.models.card import ModelCard
from core.runs import launch
from core.runs.run import INITIAL, MODEL, PACKED, write_status
from pages.parts.tour import runs as tour
from tests.sample_runs import summary_of
from tests.written_address import written_address

ENTRY = str(Path(__file__).parents[2] / "streamlit_app.py")


@pytest.fixture
def app():
    return AppTest.from_file(ENTRY, default_timeout=60)


@pytest.fixture
def spawned(monkeypatch):
    """The ids of the runs whose worker would be started."""
    ids = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: ids.append(run.id))
    return ids


@pytest.fixture
def trained(store, spawned, digits):
    """Both trainings of the tour, finished."""
    tour.start_trainings(store, digits)
    runs = tour.find_tour(store)
    spawned.clear()
    return [finish(store, run) for run in (runs.dense, runs.pruned)]


@pytest.fixture
def models(store, trained, spawned, digits):
    """All three models of the tour."""
    tour.start_quantization(store, trained[1], digits)
    spawned.clear()
    return [*trained, finish(store, tour.find_tour(store).quantized)]


def finish(store, run):
    """Give the run the files and the status of a finished one, with weights as drawn."""
    torch.manual_seed(0)
    state = build("LeNet5", 10).state_dict()
    card = ModelCard(
        model=run.model,
        dataset=run.dataset,
        classes=tuple("0123456789"),
        mean=(0.5,) * 3,
        std=(0.25,) * 3,
        side=32,
    )
    for file in (INITIAL, MODEL):
        (run.path / file).write_bytes(saved.model_bytes(state, card))
    codec.save(run.path / PACKED, state, card)
    finished = {"state": "finished", "test_accuracy": 0.9, "summary": summary_of(run)}
    write_status(run.path, run.status.model_copy(update=finished))
    return store.get(run.id)


def change_status(run, **changes):
    write_status(run.path, run.status.model_copy(update=changes))


def open_step(app, step=None):
    app.run()
    if step is not None:
        app.query_params["step"] = str(step)
    return app.switch_page("pages/tour.py").run()


def heading(app):
    return app.subheader[0].value


# -- the runs --


def test_the_button_starts_exactly_two_trainings(app, store, spawned):
    open_step(app)
    assert store.list() == []
    app.button(key="tour").click().run()
    assert not app.exception
    runs = tour.find_tour(store)
    assert runs.dense is not None
    assert runs.pruned is not None
    assert spawned == [runs.dense.id, runs.pruned.id]
    assert [run.density for run in (runs.dense, runs.pruned)] == [1, 0.1]
    assert len(store.list()) == 2


def test_the_tour_from_the_home_page_twice_starts_nothing_twice(app, store, spawned):
    app.run().button(key="tour").click().run()
    assert app.title[0].value == "Tour"
    app.switch_page("pages/home.py").run().button(key="tour").click().run()
    assert not app.exception
    assert app.title[0].value == "Tour"
    assert len(store.list()) == len(spawned) == 2


def test_a_deleted_training_can_be_started_again(app, store, trained, spawned):
    store.delete(trained[0].id)
    open_step(app).button(key="tour").click().run()
    assert not app.exception
    assert spawned == [trained[0].id]


def test_the_recipes_of_the_tour_work(digits):
    from core.jobs.check import check_recipe

    for recipe in (tour.DENSE_RECIPE, tour.PRUNED_RECIPE, tour.QUANTIZED_RECIPE):
        check_recipe(recipe, digits, dataset="Digits")


# -- the steps --


def test_the_next_step_opens_when_both_trainings_are_finished(app, store, trained, spawned):
    change_status(trained[1], state="failed", message="The loss is NaN.")
    open_step(app)
    assert app.button(key="tour_next").disabled
    finish(store, trained[1])
    app.run()
    assert "tour" not in {button.key for button in app.button}
    app.button(key="tour_next").click().run()
    assert not app.exception
    assert heading(app).startswith("2 of 4")
    assert written_address(app) == {"step": "2"}
    assert spawned == [run.id for run in store.list() if run.config.parent == trained[1].id]
    app.button(key="tour_back").click().run()
    assert heading(app).startswith("1 of 4")


def test_the_second_step_starts_one_quantization_of_the_pruned_network(
    app, store, trained, spawned
):
    open_step(app, 2)
    app.run()
    quantized = tour.find_tour(store).quantized
    assert quantized is not None
    assert spawned == [quantized.id]
    assert quantized.config.parent == trained[1].id
    assert isinstance(quantized.recipe, KMeansRecipe)
    assert quantized.recipe.clusters == 5


def test_the_second_step_compares_three_files(app, models):
    open_step(app, 2)
    assert not app.exception
    assert [metric.label for metric in app.metric] == ["Dense", "Pruned", "Quantized"]
    assert all("90.00% right" in metric.delta for metric in app.metric)
    assert not app.button(key="tour_next").disabled


def test_the_third_step_draws_a_layer_before_and_after(app, models):
    open_step(app, 3)
    assert not app.exception
    assert app.selectbox(key="tour_layer").value == "classifier.0.weight"
    assert len(app.get("vega_lite_chart")) == 2
    app.selectbox(key="tour_layer").select("features.0.weight").run()
    assert not app.exception
    assert written_address(app) == {"step": "3", "layer": "features.0.weight"}


def test_a_training_of_an_older_version_kept_no_initial_weights(app, models):
    (models[1].path / INITIAL).unlink()
    open_step(app, 3)
    assert not app.exception
    assert "kept no initial weights" in app.info[0].value
    assert len(app.get("vega_lite_chart")) == 1


def test_the_last_step_shows_a_picture_to_all_three_and_leads_on(app, models):
    open_step(app, 4)
    assert not app.exception
    assert not app.error
    captions = [caption.value for caption in app.caption]
    for letter in "ABC":
        assert any(caption.startswith(f"**{letter}**") for caption in captions)
    labels = [link.proto.label for link in app.get("page_link")]
    assert labels == ["Train", "Quantize", "Activations", "Compare", "End the tour"]
    (compare,) = (link.proto for link in app.get("page_link") if link.proto.label == "Compare")
    assert all(run.id in compare.query_string for run in models)
    assert {"own_network", "own_images"} <= {button.key for button in app.button}


# -- what can go wrong --


def test_a_failed_run_says_so_and_can_be_tried_again(app, store, trained, spawned):
    failed = trained[1]
    change_status(failed, state="failed", message="The disk is full.")
    open_step(app)
    assert "The disk is full" in app.error[0].value
    app.button(key=f"tour_again_{failed.id}").click().run()
    assert not app.exception
    assert spawned == [failed.id]
    assert store.get(failed.id).state == "starting"


@pytest.mark.parametrize("state", ["cancelled", "interrupted"])
def test_a_stopped_run_can_be_continued(app, trained, spawned, state):
    change_status(trained[0], state=state)
    open_step(app)
    assert state in app.warning[0].value
    app.button(key=f"tour_again_{trained[0].id}").click().run()
    assert spawned == [trained[0].id]


@pytest.mark.parametrize(
    "step", ["0", "5", "-1", "nan", "1e9", "<script>", "２５", "", "9" * 5000, "2.0"]
)
def test_an_impossible_step_in_the_address_is_the_first(app, step):
    open_step(app, step)
    assert not app.exception
    assert heading(app).startswith("1 of 4")


@pytest.mark.parametrize("step", [2, 3, 4])
def test_a_step_without_its_runs_names_the_one_to_finish_first(app, store, spawned, step):
    open_step(app, step)
    assert not app.exception
    assert "Step 1" in app.info[0].value
    assert not spawned
    app.button(key="tour_missing").click().run()
    assert heading(app).startswith("1 of 4")


@pytest.mark.parametrize("step", [3, 4])
def test_a_step_without_the_quantized_model_leads_to_the_second(app, trained, spawned, step):
    open_step(app, step)
    assert "Step 2" in app.info[0].value
    app.button(key="tour_missing").click().run()
    assert heading(app).startswith("2 of 4")
    assert len(spawned) == 1


def test_a_model_whose_file_is_gone_says_what_to_do(app, trained):
    (trained[0].path / MODEL).unlink()
    open_step(app)
    assert not app.exception
    assert "file of its model is gone" in app.warning[0].value
    assert app.button(key="tour_next").disabled
