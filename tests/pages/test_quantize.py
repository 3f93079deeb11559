"""The quantize page, and the page of a quantized or imported run."""

import json
import shlex
import subprocess
import sys

import pytest

from core import data
from core.commands import quantize as command
from core.commands.quantize import quantize_command
from core.compress import codec
from core.compress.packed import ledger as packed
from core.compress.quantization.layers import quantize_layer
from core.config import AffineRecipe, BudgetRecipe, ImportRecipe, KMeansRecipe, Prune
from core.events import Quantized, QuantizedLayer, Summary
from core.forecast import sensitivity
from core.models import saved
from core.runs.run import MODEL, PACKED, write_status
from pages.parts.quantize import comparison, scan
from pages.parts.quantize.form import QUANTIZE_METHODS
from pages.parts.quantize.settings import DEFAULT_QUANTIZE_RECIPES
from pages.parts.runs.advice import what_to_try
from tests.pages.open_page import ENTRY, figures, open_page, shown_code, texts
from tests.sample_runs import CARD, RECIPE, epoch_ends, sample_run
from tests.written_address import written_address

FIRST, LAST = "features.0.weight", "classifier.4.weight"
START = DEFAULT_QUANTIZE_RECIPES["kmeans"]
IMPORT = ImportRecipe(
    file="lenet.pt", model="LeNet5", dataset="Digits", mean=(0.5,) * 3, std=(0.5,) * 3
)


@pytest.fixture
def trained(store, content, digits):
    """A finished training whose weights can be read."""
    run = sample_run(store, name="trained", recipe=RECIPE)
    (run.path / MODEL).write_bytes(content)
    return run


def opened(app, page="quantize", **params):
    return open_page(app, page, **params)


def table(app):
    return app.dataframe[0].value.set_index("layer")


# -- the model --


def test_without_a_model_it_says_where_one_comes_from(app, store):
    sample_run(store, "failed", done=1)
    opened(app)
    assert "no model" in app.info[0].value
    assert [button.key for button in app.button if button.key == "import_network"]
    assert not [button for button in app.button if button.key == "quantize"]


def test_the_newest_model_is_chosen_without_being_named_in_the_address(app, store, trained):
    sample_run(store, "running", done=1)
    opened(app)
    assert app.selectbox(key="run").value == trained.id
    assert "90.00%" in app.selectbox(key="run").options[0]
    assert written_address(app) == {}
    assert shown_code(app) == quantize_command(START, trained.id)
    assert not app.error
    assert not app.warning


@pytest.mark.parametrize(
    ("recipe", "is_suggested"),
    [
        (KMeansRecipe(), False),
        (AffineRecipe(), False),
        (BudgetRecipe(smaller=10), False),
        (BudgetRecipe(faster=2), True),  # removes channels, and leaves the weights in float
    ],
)
def test_a_network_that_is_quantized_already_is_not_suggested(
    app, store, trained, recipe, is_suggested
):
    run = store.create(recipe, parent=trained.id)
    (run.path / MODEL).write_bytes((trained.path / MODEL).read_bytes())
    write_status(run.path, run.status.model_copy(update={"state": "finished"}))
    opened(app)
    assert app.selectbox(key="run").value == (run.id if is_suggested else trained.id)
    app.switch_page("pages/home.py").run()
    opened(app, run=run.id)  # the address names it
    assert app.selectbox(key="run").value == run.id


def test_the_address_chooses(app, store, trained, state):
    newer = sample_run(store, name="newer")
    (newer.path / MODEL).write_bytes(saved.model_bytes(state, CARD))
    opened(app, run=trained.id, method="affine", affine_bits="4", layers=f"{FIRST}:8,{LAST}:0")
    assert shown_code(app) == quantize_command(
        AffineRecipe(bits=4, layers={FIRST: 8, LAST: 0}), trained.id
    )


def test_a_model_that_is_gone_says_so(app, trained):
    opened(app, run="0123456789")
    assert "0123456789" in app.warning[0].value
    assert app.selectbox(key="run").value == trained.id


def test_a_model_that_cannot_be_read_says_so(app, trained):
    (trained.path / MODEL).write_bytes(b"weights")
    opened(app)
    assert "holds no network" in app.error[0].value or "damaged" in app.error[0].value


def test_importing_is_offered(app, trained):
    opened(app).button(key="import_network").click().run()
    assert not app.exception


def test_the_form_is_painted_before_torch_is_there(trained):
    code = (
        "import sys; sys.modules['torch'] = None; from streamlit.testing.v1 import AppTest; "
        f"app = AppTest.from_file({str(ENTRY)!r}, default_timeout=60); app.run(); "
        "app.switch_page('pages/quantize.py').run(); "
        "assert app.code and app.selectbox and app.button(key='quantize')"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ENTRY.parent)


# -- the form --


def test_slider_and_exact_number_agree(app, trained):
    opened(app).select_slider(key="step_of_clusters").set_value(32).run()
    assert "--clusters 32" in shown_code(app)
    app.number_input(key="kmeans_clusters").set_value(100).run()
    assert "--clusters 100" in shown_code(app)
    assert app.select_slider(key="step_of_clusters").value == 96


def test_both_methods_keep_what_was_chosen_for_them(app, trained):
    opened(app).number_input(key="kmeans_clusters").set_value(7).run()
    app.segmented_control(key="quantize_method").set_value("affine").run()
    assert shown_code(app) == quantize_command(AffineRecipe(), trained.id)
    assert figures(app)["Tuning, about"] == ("—", "no tuning")
    app.select_slider(key="affine_bits").set_value(3).run()
    assert "--bits 3" in shown_code(app)
    app.segmented_control(key="quantize_method").set_value("kmeans").run()
    assert "--clusters 7" in shown_code(app)


def test_batchnorm_is_off_and_says_why(app, trained):
    toggle = opened(app).toggle(key="kmeans_batchnorm")
    assert toggle.value is False
    assert "scales a whole channel" in texts(app)


def test_every_setting_has_a_help_text(app, trained):
    opened(app)
    for method in QUANTIZE_METHODS:
        app.segmented_control(key="quantize_method").set_value(method).run()
        for widget in [
            *app.number_input,
            *app.selectbox,
            *app.select_slider,
            *app.toggle,
            *app.multiselect,
            *app.segmented_control,
        ]:
            assert widget.proto.help, widget.label


def test_every_field_of_the_recipes_is_in_the_form(app, trained):
    opened(app)
    for kind, start in DEFAULT_QUANTIZE_RECIPES.items():
        app.segmented_control(key="quantize_method").set_value(kind).run()
        for name in type(start).model_fields.keys() - {"kind", "layers"}:
            assert f"{kind}_{name}" in app.session_state, name


@pytest.mark.parametrize("device", ["toaster", "cuda:77"])
def test_a_device_that_is_not_there_is_refused(app, trained, device):
    opened(app, kmeans_device=device)
    assert "device" in app.error[0].value
    assert app.button(key="quantize").disabled


RECIPES = [
    KMeansRecipe(clusters=9, init="optimal", epochs=0, keep_zeros=False, recalibrate=False, seed=3),
    KMeansRecipe(
        clusters=17,
        epochs=2,
        lr=0.02,
        batch_size=64,
        train_images=500,
        rest="float16",
        device="cpu",
        layers={FIRST: 0, LAST: 200},
        round_images=300,
    ),
    KMeansRecipe(rounding="nearest", recalibrate=True),
    AffineRecipe(
        bits=4, per_channel=False, symmetric=True, range="mse", batchnorm=True, layers={LAST: 8}
    ),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.kind)
def test_duplicating_a_run_makes_its_recipe_again(app, store, trained, spawned, state, recipe):
    newer = sample_run(store, name="newer")
    (newer.path / MODEL).write_bytes(saved.model_bytes(state, CARD))
    run = store.create(recipe, parent=trained.id)
    opened(app, **{"from": run.id}).button(key="quantize").click().run()
    assert not app.exception
    (copy,) = [other for other in store.list() if other.id not in (run.id, trained.id, newer.id)]
    assert (copy.recipe, copy.config.parent) == (recipe, trained.id)
    assert spawned == [copy.id]


def test_a_training_has_no_settings_to_take_over(app, trained):
    opened(app, **{"from": trained.id})
    assert "was not quantized here" in app.error[0].value
    assert shown_code(app) == quantize_command(START, trained.id)


# -- before it runs --


def test_what_it_would_do(app, trained):
    opened(app)
    found = figures(app)
    assert found["Float"] == ("248.0 kB", "61,770 weights")
    assert found["Smaller by"][0].endswith("×")
    assert (
        found["Tuning, about"][1] == "from its training's speed"
        or "rule of thumb" in found["Tuning, about"][1]
    )
    rows = table(app)
    assert list(rows.index) == [
        "features.0.weight",
        "features.3.weight",
        "classifier.0.weight",
        "classifier.2.weight",
        LAST,
    ]
    assert set(rows["levels"]) == {"5"}
    assert set(rows["choice"]) == {"5 clusters"}
    assert (rows["snr"] > 5).all()


def test_more_clusters_lose_less_and_take_more(app, trained):
    few = opened(app)
    before, packed_before = table(few), figures(few)["Packed, estimated"]
    app.select_slider(key="step_of_clusters").set_value(64).run()
    assert (table(app)["snr"] > before["snr"]).all()
    assert (table(app)["bytes"] > before["bytes"]).all()
    assert figures(app)["Packed, estimated"] != packed_before


def test_layers_can_be_left_out_and_given_more(app, trained):
    opened(app)
    assert app.button(key="own_set").disabled
    app.multiselect(key="picked_layers").set_value([FIRST]).run()
    app.number_input(key="own_clusters").set_value(50).run()
    app.button(key="own_set").click().run()
    assert f"{FIRST}=50" in shown_code(app)
    assert table(app).loc[FIRST, "choice"] == "50 clusters"
    app.multiselect(key="picked_layers").set_value([FIRST, LAST]).run()
    app.button(key="own_leave").click().run()
    assert list(table(app)["choice"]).count("float") == 2
    assert 25 < table(app).loc[LAST, "bits"] < 29  # float32, of which the exponents are deflated
    assert written_address(app) == {"layers": f"{FIRST}:0,{LAST}:0"}
    app.multiselect(key="picked_layers").set_value([LAST]).run()
    app.button(key="own_undo").click().run()
    assert shown_code(app) == quantize_command(
        START.model_copy(update={"layers": {FIRST: 0}}), trained.id
    )


def test_a_layer_of_its_own_belongs_to_one_method_of_one_model(app, trained):
    opened(app, layers=f"{LAST}:9")
    assert f"{LAST}=9" in shown_code(app)
    app.segmented_control(key="quantize_method").set_value("affine").run()
    assert shown_code(app) == quantize_command(AffineRecipe(), trained.id)


@pytest.mark.parametrize(
    "text",
    [
        "nonsense",
        "a:b",
        ":",
        "nothing.weight:5",
        f"{FIRST}:99999",
        f"{FIRST}:999",
        f"{FIRST}:1",
        f"{FIRST}.bias:3",
    ],
)
def test_layers_that_are_none_in_the_address_are_left_out(app, trained, text):
    opened(app, layers=text)
    assert shown_code(app) == quantize_command(START, trained.id)


def test_more_clusters_than_there_can_be_are_left_out(app, trained):
    opened(app, kmeans_clusters="99999")
    assert (
        app.select_slider(key="step_of_clusters").value
        == app.number_input(key="kmeans_clusters").value
        == 5
    )


def test_what_cannot_be_is_refused(app, trained):
    opened(app, kmeans_device="abacus")
    assert "abacus" in app.error[0].value
    assert app.button(key="quantize").disabled


def test_leaving_out_every_layer_says_that_nothing_is_left(app, trained):
    opened(app)
    app.multiselect(key="picked_layers").set_value(
        app.multiselect(key="picked_layers").options
    ).run()
    assert not app.warning
    app.button(key="own_leave").click().run()
    assert "Every layer is left out" in app.warning[0].value


def test_the_launch_makes_one_run(app, store, trained, spawned):
    opened(app).number_input(key="kmeans_epochs").set_value(0).run()
    app.button(key="quantize").click().run()
    assert not app.exception
    (run,) = [run for run in store.list() if run.id != trained.id]
    assert (run.recipe, run.config.parent) == (KMeansRecipe(), trained.id)
    assert spawned == [run.id]


# -- the rounding --


@pytest.mark.parametrize("kind", QUANTIZE_METHODS)
def test_the_rounding_is_chosen_and_the_address_carries_it(app, trained, kind):
    opened(app, method=kind)
    rounding = app.segmented_control(key=f"{kind}_rounding")
    assert rounding.value == "compensated"
    assert "1,024 training images of Digits, which are at hand, without labels" in texts(app)
    assert "takes about" in texts(app)
    assert "figures are those of nearest rounding" in texts(app)
    rounding.set_value("nearest").run()
    assert shown_code(app).endswith("--rounding nearest")
    assert written_address(app)[f"{kind}_rounding"] == "nearest"
    assert "rounded by itself, without images" in texts(app)
    assert "figures are those of nearest rounding" not in texts(app)
    assert app.number_input(key=f"{kind}_round_images").disabled


def test_the_address_chooses_rounding_images_and_statistics(app, trained):
    opened(app, kmeans_round_images="300", kmeans_recalibrate="false")
    recipe = START.model_copy(update={"round_images": 300, "recalibrate": False})
    assert shown_code(app) == quantize_command(recipe, trained.id)
    assert "300 training images" in texts(app)
    assert written_address(app) == {"kmeans_round_images": "300", "kmeans_recalibrate": "false"}
    app.segmented_control(key="kmeans_recalibrate").set_value(True).run()
    assert "--recalibrate" in shown_code(app)
    app.segmented_control(key="kmeans_recalibrate").set_value("auto").run()
    assert "recalibrate" not in shown_code(app)


@pytest.mark.parametrize("recipe", RECIPES, ids=str)
def test_the_command_line_makes_the_same_recipe(recipe):
    program, parent = quantize_command(recipe, "RUN").split(" RUN ")
    words = shlex.split(parent)
    assert program == "python -m core quantize"
    assert command.quantize_recipe(command._parser().parse_args(["RUN", *words])) == recipe


def test_roundings_are_compared_on_demand(app, trained):
    opened(app)
    assert "Output error, nearest" not in figures(app)
    app.selectbox(key="rounding_layer").set_value(LAST).run()
    app.button(key="compare_roundings").click().run()
    assert not app.exception
    assert not app.error
    found = figures(app)
    nearest = float(found["Output error, nearest"][0].rstrip("%"))
    compensated = float(found["Output error, compensated"][0].rstrip("%"))
    assert 0 < compensated < nearest < 100
    assert found["Output error, compensated"][1].endswith("less than nearest")
    app.selectbox(key="rounding_layer").set_value(FIRST).run()
    assert "Output error, nearest" not in figures(app)
    app.selectbox(key="rounding_layer").set_value(LAST).run()
    assert figures(app) == found  # from the memory
    app.select_slider(key="step_of_clusters").set_value(64).run()
    assert "Output error, nearest" not in figures(app)


def test_a_comparison_that_fails_says_why(app, trained, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA out of memory.")
        yield

    monkeypatch.setattr(comparison, "compare_roundings", broken)
    opened(app).button(key="compare_roundings").click().run()
    assert not app.exception
    assert "out of memory" in app.error[0].value


def test_a_layer_that_stays_in_float_is_not_compared(app, trained):
    opened(app, layers=f"{LAST}:0")
    assert LAST not in app.selectbox(key="rounding_layer").options


def test_centroids_have_no_other_rounding_to_bits(app, store, trained, state):
    shared = finished(store, KMeansRecipe(), trained, state)
    content = saved.model_bytes(state, CARD.model_copy(update={"recipes": ({"kind": "kmeans"},)}))
    (shared.path / MODEL).write_bytes(content)
    opened(app, run=shared.id, method="affine")
    assert "Their centroids get the nearest level" in texts(app)
    assert not [button for button in app.button if button.key == "compare_roundings"]


# -- the scan --


def test_a_scan_goes_on_from_look_to_look_and_stops_by_itself(app, trained, monkeypatch):
    monkeypatch.setattr(scan, "PIECE_SECONDS", 0.0)  # one batch a look, at most
    opened(app)
    assert "1,000 of 1,437 training images" in texts(app)
    app.button(key="scan").click().run()
    assert app.button(key="scan_stop")
    monkeypatch.setattr(scan, "PIECE_SECONDS", 600.0)
    app.run()
    assert not app.exception
    assert "scan" not in written_address(app)
    assert table(app)["cost"].notna().all()
    known = sensitivity.load_scan(trained.path, START)
    assert list(known.layers) == list(table(app).index)
    assert "standard errors" in texts(app)
    (chart,) = app.get("vega_lite_chart")
    assert "5 layers" in chart.proto.alt


def test_stopping_a_scan_keeps_what_it_found(app, trained, digits, monkeypatch):
    monkeypatch.setattr(scan, "PIECE_SECONDS", 0.0)
    generator = sensitivity.scan_sensitivity(
        saved.read_model(trained.path / MODEL), data.load("Digits", digits), START, trained.path
    )
    for _ in range(22):  # ten batches for the network as it was, ten for its first layer
        next(generator)
    opened(app, scan="on")
    app.button(key="scan_stop").click().run()
    assert "scan" not in written_address(app)
    assert sensitivity.load_scan(trained.path, START).layers
    assert "more layer" in app.button(key="scan").label


def test_other_settings_end_a_scan(app, trained, monkeypatch):
    monkeypatch.setattr(scan, "PIECE_SECONDS", 0.0)
    opened(app, scan="on")
    assert app.button(key="scan_stop")
    app.select_slider(key="step_of_clusters").set_value(2).run()
    app.run()
    assert not app.exception
    assert "scan" not in written_address(app)


def test_a_scan_that_fails_says_why(app, trained, monkeypatch):
    def broken(*_, **__):
        raise RuntimeError("CUDA out of memory.")
        yield

    monkeypatch.setattr(sensitivity, "scan_sensitivity", broken)
    opened(app, scan="on")
    assert "out of memory" in texts(app)
    assert "scan" not in written_address(app)


def test_images_that_are_not_here_are_fetched_on_demand(app, store, state, digits):
    recipe = RECIPE.model_copy(update={"dataset": "CIFAR10"})
    run = sample_run(store, recipe=recipe)
    (run.path / MODEL).write_bytes(
        saved.model_bytes(state, CARD.model_copy(update={"dataset": "CIFAR10"}))
    )
    opened(app)
    assert "needs the images of CIFAR10" in texts(app)
    assert app.button(key="scan_data")
    assert app.button(key="compare_roundings").disabled
    assert "CIFAR10, which the run gets" in texts(app)
    app.switch_page("pages/home.py").run()
    opened(app, scan="on")  # an address from a machine that has the images
    assert "scan" not in written_address(app)
    assert app.button(key="scan_data")


# -- the pages of quantized and imported runs --


def finished(store, recipe, parent, state, **summary):
    """A quantized or imported run as a worker would have left it."""
    run = store.create(recipe, parent=parent and parent.id)
    (run.path / MODEL).write_bytes(saved.model_bytes(state, CARD))
    figures = {
        "model": "LeNet5",
        "dataset": "Digits",
        "density": 1.0,
        "kept": 61_770,
        "prunable": 61_770,
        "epochs": 0,
        "test_accuracy": 0.85,
        "best_accuracy": 0.85,
        "train_seconds": 0.0,
        "images_per_second": 0.0,
        "device": "cpu",
        **summary,
    }
    if parent is not None:
        items = {}
        for name, tensor in state.items():
            item = quantize_layer(tensor, name, recipe) if tensor.ndim > 1 else tensor
            assert item is not None
            items[name] = item
        ledger = codec.save(run.path / PACKED, items, CARD)
        figures["parent_accuracy"] = 0.9
        figures["float_bytes"] = ledger.float_bytes
        figures["packed_bytes"] = ledger.total
        layers: dict[str, QuantizedLayer] = {
            FIRST: {"weights": 450, "levels": 5, "bits": 3, "bytes": 130, "snr": 9.5}
        }
        (run.path / "events.jsonl").write_text(json.dumps(Quantized(layers).to_dict()) + "\n")
    write_status(
        run.path,
        run.status.model_copy(
            update={
                "state": "finished",
                "summary": Summary.model_validate(figures),
                "kept": figures["kept"],
                "prunable": figures["prunable"],
                "test_accuracy": figures["test_accuracy"],
                "device": "cpu",
                "best_accuracy": figures["best_accuracy"],
            }
        ),
    )
    return store.get(run.id)


def test_a_quantized_run_shows_before_and_after(app, store, trained, state):
    run = finished(store, KMeansRecipe(), trained, state)
    opened(app, "runs", run=run.id)
    found, size = figures(app), (run.path / PACKED).stat().st_size
    assert found["Test accuracy"] == ("85.00%", "-5.00 points")
    assert found["Packed file"][0] == f"{size / 1e3:.3g} kB"
    assert found["Packed file"][1] == "float: 249.1 kB"
    assert "5.00 points less than before (90.00%)" in app.success[0].value
    assert "tune it" in app.success[0].value
    assert "speed-up is not" in texts(app)
    assert "Epoch" not in found
    assert "0 / 0" not in texts(app)
    assert not app.get("vega_lite_chart")
    assert table(app).loc[FIRST, "snr"] == 9.5
    links = {link.proto.label: link.proto.query_string for link in app.get("page_link")}
    assert links["trained"] == f"run={trained.id}"
    assert links["Quantize again"] == f"run={run.id}"
    assert links["Weights"] == f"a={trained.id}&b={run.id}"
    assert [button.label.partition(" (")[0] for button in app.get("download_button")] == [
        "Packed",
        "secateur_reader.py",
        "Weights",
        "Download as one zip",
    ]


def test_output_errors_are_shown_also_after_tuning(app, store, trained, state):
    run = finished(store, KMeansRecipe(epochs=1), trained, state)
    layer: QuantizedLayer = {"weights": 450, "levels": 5, "bits": 3, "bytes": 130, "snr": 9.5}
    rounded: QuantizedLayer = {**layer, "nearest_error": 0.3, "output_error": 0.125}
    tuned: QuantizedLayer = {**layer, "snr": 8.0}
    events = [
        Quantized({FIRST: rounded, LAST: layer}),
        Quantized({FIRST: tuned, LAST: layer}, tuned=True),
    ]
    lines = [json.dumps(event.to_dict()) + "\n" for event in events]
    (run.path / "events.jsonl").write_text("".join(lines))
    rows = table(opened(app, "runs", run=run.id))
    assert rows.loc[FIRST, ["snr", "nearest_error", "output_error"]].tolist() == [8.0, 30.0, 12.5]
    assert rows.loc[LAST, ["nearest_error", "output_error"]].isna().all()


def test_a_run_without_output_errors_has_no_columns_of_them(app, store, trained, state):
    run = finished(store, KMeansRecipe(), trained, state)
    assert "output_error" not in table(opened(app, "runs", run=run.id))


@pytest.mark.parametrize(
    ("recipe", "recipes", "advice"),
    [
        (KMeansRecipe(rounding="nearest"), (), "use compensated rounding"),
        (AffineRecipe(rounding="nearest"), (), "use compensated rounding"),
        (KMeansRecipe(rounding="nearest", epochs=1), (), "tune it for more epochs"),
        (AffineRecipe(rounding="nearest"), ({"kind": "kmeans"},), "take more bits"),
        (KMeansRecipe(), (), "tune it for some epochs"),
        (AffineRecipe(), (), "take more bits"),
    ],
    ids=str,
)
def test_the_advice_after_a_loss(app, store, trained, state, recipe, recipes, advice):
    run = finished(store, recipe, trained, state)
    content = saved.model_bytes(state, CARD.model_copy(update={"recipes": recipes}))
    (run.path / MODEL).write_bytes(content)
    opened(app, "runs", run=run.id)
    assert f"**Duplicate with changes** and {advice}" in app.success[0].value


def test_what_to_try_knows_roundings_and_statistics():
    assert what_to_try(KMeansRecipe(rounding="nearest")).startswith(
        "use compensated rounding, take"
    )
    assert what_to_try(AffineRecipe()) == "take more bits"
    for recalibrate in (True, False):
        advice = what_to_try(AffineRecipe(recalibrate=recalibrate))
        assert advice.endswith("re-estimate BatchNorm's statistics as far as it helps")


def test_its_tabs_are_those_that_make_sense(app, store, trained, state):
    run = finished(store, KMeansRecipe(), trained, state)
    opened(app, "runs", run=run.id)
    labels = [tab.label for tab in app.tabs]
    assert labels == ["Layers", "Bytes", "Log", "Settings", "Command"]
    app.session_state["details"] = "Bytes"
    app.run()
    assert "Indices" in app.get("vega_lite_chart")[0].proto.alt
    app.session_state["details"] = "Command"
    app.run()
    assert app.code[-1].value == quantize_command(KMeansRecipe(), trained.id)
    app.session_state["details"] = "Settings"
    app.run()
    assert dict(app.table[0].value.iloc[:, :2].values.tolist())["layers"] == "—"


def test_the_bytes_are_those_of_the_codec(store, trained, state):
    for recipe in (KMeansRecipe(), AffineRecipe(), AffineRecipe(symmetric=True)):
        run = finished(store, recipe, trained, state)
        ledger = codec.load(run.path / PACKED).ledger
        assert packed.packed_parts(run.path / PACKED) == {
            name: getattr(ledger, name)
            for name in ("masks", "indices", "tables", "codebooks", "rest", "header")
        }


def test_a_tuned_run_has_curves(app, store, trained, state):
    recipe = KMeansRecipe(epochs=2)
    run = finished(store, recipe, trained, state)
    lines = [json.dumps(event.to_dict()) + "\n" for event in epoch_ends(2, [0.8, 0.9])]
    (run.path / "events.jsonl").write_text("".join(lines))
    app = opened(app, "runs", run=run.id)
    assert figures(app)["Epoch"][0] == "0 / 2"
    assert [chart.proto.alt for chart in app.get("vega_lite_chart")][:2] == [
        "Loss of training and test by epoch, at the end 0.5000 and 0.5500",
        "Accuracy of training and test by epoch, at the end 85.00% and 90.00%",
    ]
    assert "Pace" in [tab.label for tab in app.tabs]


def test_an_imported_run_says_what_it_is(app, store, state):
    run = finished(store, IMPORT, None, state)
    opened(app, "runs", run=run.id)
    assert "lenet" in app.success[0].value
    assert "**85.00%**" in app.success[0].value
    assert figures(app)["On disk"][0] == "249.1 kB"
    assert not [button for button in app.button if button.key == "duplicate"]
    assert "Weights" in [link.proto.label for link in app.get("page_link")]
    app.session_state["details"] = "Command"
    app.run()
    assert "python -m core import" in app.code[0].value


def test_duplicate_opens_the_form_of_its_kind(app, store, trained, state):
    run = finished(store, KMeansRecipe(clusters=11), trained, state)
    opened(app, "runs", run=run.id).button(key="duplicate").click().run()
    assert not app.exception
    assert shown_code(app) == quantize_command(KMeansRecipe(clusters=11), trained.id)


@pytest.mark.parametrize(
    "recipe", [KMeansRecipe(), KMeansRecipe(epochs=3), AffineRecipe(), IMPORT], ids=str
)
@pytest.mark.parametrize("state_", ["created", "cancelled", "interrupted", "failed"])
def test_every_state_is_drawn(app, store, trained, recipe, state_):
    run = store.create(recipe, parent=None if recipe is IMPORT else trained.id)
    write_status(run.path, run.status.model_copy(update={"state": state_, "epochs": recipe.epochs}))
    opened(app, "runs", run=run.id)
    assert state_ in texts(app)
    assert "0 of 0" not in texts(app)
    for tab in [tab.label for tab in app.tabs]:
        app.session_state["details"] = tab
        app.run()
        assert not app.exception


def test_a_deleted_parent_is_said(app, store, trained, state):
    run = finished(store, KMeansRecipe(), trained, state)
    store.delete(trained.id)
    opened(app, "runs", run=run.id)
    assert "was deleted" in texts(app)


def test_trainings_are_compared_with_trainings(app, store, trained, state):
    finished(store, IMPORT, None, state)
    opened(app, "runs", run=trained.id)
    assert "For comparison" not in app.success[0].value
    assert RECIPE.prune == Prune(density=0.1)


def test_the_table_tells_the_kinds_apart(app, store, trained, state):
    finished(store, IMPORT, None, state)
    finished(store, KMeansRecipe(epochs=2), trained, state)
    finished(store, AffineRecipe(), trained, state)
    opened(app, "runs")
    rows = app.dataframe[0].value
    assert list(rows["kind"]) == ["8 bits", "5 clusters, tuned", "import", "training"]
    assert list(rows["epoch"].fillna("")) == ["", "0 / 2", "", "4 / 4"]
    assert (rows["size"] > 0).all()
    assert rows["size"][0] < rows["size"][2]
    assert list(rows["test"]) == pytest.approx([85, 85, 85, 90])
