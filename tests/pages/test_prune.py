"""The prune page, and the page of a run that pruned a trained network."""

import json
import subprocess
import sys

import pytest
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df

from core.commands.prune import prune_command
from core.config import PruneRecipe
from core.events import EpochEnd, Pruned
from core.jobs.prune import PruneJob
from core.models import saved
from core.runs.epochs import epoch_file
from core.runs.run import INITIAL, MODEL, write_status
from pages.parts.prune import trial
from pages.parts.prune.fields import PRUNE_LABELS, excluded_fields
from pages.parts.prune.fine_tuning import fine_tuning_seconds, suggested_images
from pages.parts.prune.form import METHOD_LABELS
from pages.parts.runs.advice import what_to_try
from pages.parts.shared.tuning_cost import TuningCost
from tests.pages.open_page import ENTRY, figures, open_page, shown_code, texts
from tests.sample_runs import RECIPE, sample_run, summary_of
from tests.written_address import written_address


def opened(app, page="prune", **params):
    return open_page(app, page, **params)


def widget(app, name):
    """The widget of a field, whatever kind it is."""
    for kind in ("number_input", "selectbox", "toggle", "button_group"):
        for element in app.get(kind):
            if element.key == f"prune_{name}":
                return element
    raise AssertionError(name)


# -- the model --


def test_without_a_model_it_says_where_one_comes_from(app, store):
    sample_run(store, "failed", done=1)
    opened(app)
    assert "no model" in app.info[0].value
    assert not [button for button in app.button if button.key == "prune"]


def test_it_starts_with_compensated_pruning_without_training(app, trained):
    opened(app)
    assert shown_code(app) == prune_command(PruneRecipe(), trained.id)
    assert written_address(app) == {}
    assert not app.error
    assert not app.warning
    assert not app.button(key="prune").disabled


def test_the_form_is_painted_before_torch_is_there(trained):
    code = (
        "import sys; sys.modules['torch'] = None; from streamlit.testing.v1 import AppTest; "
        f"app = AppTest.from_file({str(ENTRY)!r}, default_timeout=120); app.run(); "
        "app.switch_page('pages/prune.py').run(); "
        "assert app.code and app.selectbox and app.button(key='prune')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ENTRY.parent)


def test_a_network_that_is_pruned_already_starts_below_its_density(app, store, content, digits):
    run = sample_run(store, recipe=RECIPE)
    (run.path / MODEL).write_bytes(content)
    opened(app)
    assert app.number_input(key="prune_density").value == 0.05  # half of its 10%
    assert not app.error
    app.number_input(key="prune_density").set_value(0.2).run()
    assert "Density must be below 0.1" in app.error[0].value
    assert app.button(key="prune").disabled


# -- the form --


def test_every_field_has_a_widget_a_label_and_a_help_text(app, trained):
    (trained.path / INITIAL).write_bytes(b"weights")
    opened(app)
    names = PruneRecipe.model_fields.keys() - {"kind"}
    assert set(PRUNE_LABELS) == names
    for name in names:
        assert f"prune_{name}" in app.session_state, name
    for element in [*app.number_input, *app.selectbox, *app.select_slider, *app.toggle]:
        assert element.proto.help, element.label


RECIPES = [
    PruneRecipe(
        method="magnitude",
        density=0.2,
        layer_densities="erk",
        spare_first=True,
        epochs=3,
        gradual=2,
        every=7,
        teacher="labels",
        lr=0.02,
        momentum=0.5,
        weight_decay=0.0,
        batch_size=64,
        train_images=500,
        seed=4,
        precision="float32",
        device="cpu",
    ),
    PruneRecipe(method="snip", density=0.07, images=200, spare_last=True, recalibrate=False),
    PruneRecipe(layer_densities="uniform+", density=0.9, recalibrate=True),
    PruneRecipe(method="channel-magnitude", epochs=1),
    PruneRecipe(method="random", epochs=2, rewind=0),
    PruneRecipe(method="magnitude", epochs=2, rewind=3),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.method)
def test_duplicating_a_run_makes_its_recipe_again(app, store, trained, spawned, content, recipe):
    (trained.path / INITIAL).write_bytes(content)
    epoch_file(trained.path, 3).parent.mkdir()
    epoch_file(trained.path, 3).write_bytes(content)
    run = store.create(recipe, parent=trained.id)
    opened(app, **{"from": run.id}).button(key="prune").click().run()
    assert not app.exception
    (copy,) = [other for other in store.list() if other.id not in (run.id, trained.id)]
    assert (copy.recipe, copy.config.parent) == (recipe, trained.id)
    assert spawned == [copy.id]


def test_a_training_has_no_settings_to_take_over(app, trained):
    opened(app, **{"from": trained.id})
    assert "did not prune a trained network" in app.error[0].value
    assert shown_code(app) == prune_command(PruneRecipe(), trained.id)


def test_the_address_chooses_and_carries_everything(app, trained):
    address = {
        "prune_method": "snip",
        "prune_density": "0.15",
        "prune_layer_densities": "layerwise",
        "prune_spare_last": "true",
        "prune_images": "300",
    }
    opened(app, run=trained.id, **address)
    recipe = PruneRecipe(
        method="snip", density=0.15, layer_densities="layerwise", spare_last=True, images=300
    )
    assert shown_code(app) == prune_command(recipe, trained.id)
    assert written_address(app) == address


# -- settings that exclude each other --


def test_fine_tuning_is_off_without_epochs_and_on_with_them(app, trained):
    opened(app)
    for name in ("gradual", "every", "teacher", "lr", "momentum", "batch_size", "train_images"):
        assert widget(app, name).disabled, name
        assert "with 1 epoch or more" in widget(app, name).proto.help
    app.number_input(key="prune_epochs").set_value(2).run()
    for name in ("teacher", "lr", "momentum", "batch_size", "train_images"):
        assert not widget(app, name).disabled, name
    assert widget(app, "recalibrate").disabled
    assert "--epochs 2" in shown_code(app)
    assert "here" in texts(app)
    assert "Fine-tuning, about" in figures(app)


def test_compensated_pruning_is_not_gradual(app, trained):
    opened(app, prune_epochs="3", prune_method="magnitude", prune_gradual="2")
    assert "--gradual 2" in shown_code(app)
    assert not widget(app, "every").disabled
    app.selectbox(key="prune_method").set_value("compensated").run()
    assert widget(app, "gradual").disabled
    assert "cannot be gradual" in texts(app)
    assert shown_code(app) == prune_command(PruneRecipe(epochs=3), trained.id)
    assert not app.error


def test_methods_that_cut_channels_have_no_layer_densities(app, trained):
    opened(app, prune_layer_densities="erk")
    assert "--layerdensities erk" in shown_code(app)
    app.selectbox(key="prune_method").set_value("channel-magnitude").run()
    assert widget(app, "layer_densities").disabled
    assert shown_code(app) == prune_command(PruneRecipe(method="channel-magnitude"), trained.id)
    assert "Multiply-adds, really left" in figures(app)
    assert not app.error


def test_channels_are_taken_out_once_for_each_choice(app, trained, monkeypatch):
    from core.forecast.trained_pruning import ScoredParent

    densities = []
    take_out = ScoredParent.without_channels

    def counted(parent, recipe):
        densities.append(recipe.density)
        return take_out(parent, recipe)

    monkeypatch.setattr(ScoredParent, "without_channels", counted)
    opened(app, prune_method="channel-magnitude", prune_density="0.3")
    left = figures(app)["Multiply-adds, really left"]
    app.run()
    assert densities == [0.3]
    app.select_slider(key="step_of_prune_density").set_value(0.1).run()
    assert densities == [0.3, 0.1]
    assert figures(app)["Multiply-adds, really left"] != left
    app.select_slider(key="step_of_prune_density").set_value(0.3).run()
    assert densities == [0.3, 0.1]
    assert figures(app)["Multiply-adds, really left"] == left
    app.toggle(key="prune_spare_last").set_value(True).run()
    assert densities == [0.3, 0.1, 0.3]


def test_rewinding_is_offered_where_epochs_were_kept(app, trained):
    opened(app, prune_method="magnitude", prune_epochs="2")
    assert not [box for box in app.selectbox if box.key == "prune_rewind"]
    (trained.path / INITIAL).write_bytes(b"weights")
    app.run()
    assert app.selectbox(key="prune_rewind").options == [
        "They stay as they are",
        "Back to the initial weights (lottery ticket)",
    ]
    app.selectbox(key="prune_rewind").set_value("0").run()
    assert "--rewind 0" in shown_code(app)
    app.number_input(key="prune_gradual").set_value(1).run()
    assert widget(app, "rewind").disabled
    assert "rewind" not in shown_code(app)


@pytest.mark.parametrize("method", METHOD_LABELS)
@pytest.mark.parametrize("epochs", [0, 2])
@pytest.mark.parametrize("gradual", [0, 1])
def test_what_is_left_after_the_exclusions_can_run(method, epochs, gradual, digits):
    from core.jobs.check import check_recipe

    values = {
        "method": method,
        "epochs": epochs,
        "gradual": gradual,
        "layer_densities": "erk",
        "rewind": 0,
    }
    excluded = excluded_fields(method, epochs, gradual)
    if "gradual" in excluded:
        excluded |= excluded_fields(method, epochs, 0)
    recipe = PruneRecipe(**{name: value for name, value in values.items() if name not in excluded})
    check_recipe(recipe, digits, dataset="Digits")


def test_what_cannot_be_is_refused_in_the_words_of_the_form(app, trained):
    opened(app, prune_method="magnitude", prune_epochs="1", prune_gradual="2")
    assert PRUNE_LABELS["gradual"] in app.error[0].value
    assert app.button(key="prune").disabled
    app.number_input(key="prune_gradual").set_value(1).run()
    assert not app.error


def test_the_amount_of_fine_tuning_fits_the_machine():
    fast = TuningCost(train_images=1_000, seconds_per_image=1e-4, is_measured=True)
    slow = TuningCost(train_images=50_000, seconds_per_image=0.01, is_measured=True)
    assert suggested_images(None, 3) is None
    assert suggested_images(fast, 3) is None
    assert suggested_images(slow, 0) is None
    assert suggested_images(slow, 1) == 12_000
    assert suggested_images(slow, 2) == 6_000
    assert fine_tuning_seconds(slow, 2, 6_000, "parent") == pytest.approx(120)
    assert fine_tuning_seconds(slow, 2, 6_000, "labels") == pytest.approx(90)


# -- the preview --


@pytest.mark.parametrize("method", ["magnitude", "compensated"])
def test_the_preview_counts_what_a_run_keeps(app, trained, digits, method):
    opened(app, prune_method=method, prune_images="64", prune_device="cpu")
    recipe = PruneRecipe(method=method, images=64, device="cpu")
    job = PruneJob(recipe, saved.read_model(trained.path / MODEL), digits)
    pruned = next(event for event in job.events() if isinstance(event, Pruned))
    assert figures(app)["Weights kept"] == (f"{pruned.kept:,}", "30% of 61.8k")
    assert kept_in_chart(app) == {
        name.removesuffix(".weight"): kept for name, (kept, _) in pruned.layers.items()
    }


def kept_in_chart(app):
    """The weights that each layer keeps, in the chart of the layers' densities."""
    for chart in app.get("vega_lite_chart"):
        for dataset in chart.proto.datasets:
            table = convert_arrow_bytes_to_pandas_df(dataset.data.data)
            if "pruning" in table:
                bars = table[table["pruning"] == "global"]
                return dict(zip(bars["layer"], bars["kept"], strict=True))
    return {}


def test_scores_that_need_images_wait_for_a_click(app, trained):
    opened(app, prune_method="snip", prune_images="64")
    assert "Weights kept" not in figures(app)
    app.button(key="prune_preview").click().run()
    assert figures(app)["Weights kept"][0] == "18,531"
    app.select_slider(key="step_of_prune_density").set_value(0.1).run()
    assert figures(app)["Weights kept"][0] == "6,177"


def test_layers_that_keep_nothing_are_named(app, trained):
    opened(app, prune_method="magnitude", prune_density="0.00002")
    assert "would keep no weight" in app.warning[0].value


# -- the accuracy without fine-tuning --


def test_the_accuracy_is_measured_piece_by_piece_and_remembered(app, trained, monkeypatch):
    monkeypatch.setattr(trial, "PIECE_SECONDS", 600.0)
    opened(app, prune_method="magnitude")
    assert "does not learn" in texts(app)
    assert "trained on these images" in texts(app)
    app.button(key="try_densities").click().run()
    assert not app.exception
    assert app.session_state["trial_on"] is False
    assert "Before pruning:" in texts(app)
    assert "try_densities" not in [button.key for button in app.button]
    app.number_input(key="prune_density").set_value(0.25).run()
    assert app.button(key="try_densities").label == "Try 1 more"
    app.selectbox(key="prune_method").set_value("random").run()
    assert app.button(key="try_densities").label == "Try densities"


def test_a_trial_goes_on_after_a_refresh_and_can_be_stopped(app, trained, monkeypatch):
    monkeypatch.setattr(trial, "PIECE_SECONDS", 0.0)  # no step at a time
    opened(app, prune_method="magnitude", **{"try": "on"})
    assert app.session_state["trial_on"] is True
    assert written_address(app)["try"] == "on"
    app.button(key="trial_stop").click().run()
    assert app.session_state["trial_on"] is False
    assert app.button(key="try_densities").label == "Try densities"


# -- the page of the run --


PRUNED = PruneRecipe(method="magnitude", density=0.3, epochs=2, gradual=1, layer_densities="erk")


@pytest.fixture
def pruned(store, trained, content):
    """A finished gradual pruning of the training."""
    run = store.create(PRUNED, "pruned", parent=trained.id)
    ends = [
        EpochEnd(epoch, 2, 0.5, 0.9, 0.6, 0.8 + epoch / 100, 0.01, 100.0, 1.0, 1.0, density=density)
        for epoch, density in ((1, 0.4), (2, 0.3))
    ]
    layers = {"features.0.weight": [300, 450], "classifier.4.weight": [60, 750]}
    events = [Pruned(360, 1200, layers), *ends]
    lines = "".join(json.dumps(event.to_dict()) + "\n" for event in events)
    (run.path / "events.jsonl").write_text(lines)
    (run.path / MODEL).write_bytes(content)
    run.packed_file.write_bytes(content[: len(content) // 3])
    summary = summary_of(
        run,
        kept=360,
        test_accuracy=0.82,
        parent_accuracy=0.9,
        test_images=360,
        classes=10,
        float_bytes=3000,
        packed_bytes=1000,
    )
    status = {
        "state": "finished",
        "epoch": 2,
        "epochs": 2,
        "test_accuracy": 0.82,
        "best_accuracy": 0.82,
        "kept": 360,
        "prunable": 1200,
        "summary": summary,
    }
    write_status(run.path, run.status.model_copy(update=status))
    return store.get(run.id)


def test_the_run_shows_what_pruning_cost_and_saved(app, pruned):
    opened(app, "runs", run=pruned.id)
    found = figures(app)
    assert found["Test accuracy"] == ("82.00%", "-8.00 points")
    assert found["Weights kept"] == ("360", "of 1,200")
    assert found["Smaller by"][0] == "3.0×"
    assert found["Epoch"][0] == "2 / 2"
    assert "360 of 1,200 weights are kept" in app.success[0].value
    assert "8.00 points less than before (90.00%)" in app.success[0].value
    assert "fine-tune it for more epochs" in app.success[0].value
    specs = " ".join(chart.proto.spec for chart in app.get("vega_lite_chart"))
    assert "Weights left" in specs  # the course of the density
    assert '"erk"' in specs  # the densities of the layers


def test_a_finished_network_can_be_pruned_or_quantized_next(app, trained, pruned):
    for run in (trained, pruned):
        opened(app, "runs", run=run.id)
        keys = [button.key for button in app.button]
        assert keys.index("next_step") < keys.index("prune_it")


def test_pruning_is_offered_after_a_training_and_takes_its_model(app, trained):
    opened(app, "runs", run=trained.id).button(key="prune_it").click().run()
    assert app.title[0].value == "Prune"
    assert app.selectbox(key="run").value == trained.id


def test_a_pruned_run_is_duplicated_in_its_form(app, pruned, trained):
    opened(app, "runs", run=pruned.id).button(key="duplicate").click().run()
    assert app.title[0].value == "Prune"
    assert shown_code(app) == prune_command(PRUNED, trained.id)


def test_compare_names_the_kind_and_the_method(app, pruned):
    opened(app, "compare")
    (table,) = [frame.value for frame in app.dataframe if "kind" in frame.value.columns]
    row = table.set_index("name").loc["pruned"]
    assert (row["kind"], row["method"]) == ("pruned", "magnitude")


def test_what_to_try_after_a_pruning_that_guesses():
    assert what_to_try(PruneRecipe()) == "fine-tune it for some epochs or keep more weights"
    assert what_to_try(PruneRecipe(method="magnitude", recalibrate=False)) == (
        "fine-tune it for some epochs, keep more weights, use compensated pruning or re-estimate"
        " BatchNorm's statistics as far as it helps"
    )
    assert "prune by magnitude" in what_to_try(PruneRecipe(method="random", epochs=1))
