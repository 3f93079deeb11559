"""The train page: the form makes recipes and is filled by them, the preview, and the launch."""

import io
import subprocess
import sys
import zipfile
from typing import get_args

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import data
from core.commands.train import train_command
from core.config import ImportRecipe, Method, Prune, TrainRecipe
from core.errors import UserError
from core.forecast.pace import Pace
from core.models import MODELS, TORCHVISION
from core.runs.store import RunStore
from pages.parts.shared.presets import PRESETS, START
from pages.parts.shared.words import plain
from pages.parts.train import preview
from pages.parts.train.form import DENSE
from pages.parts.train.pruning import METHOD_NAMES
from tests.pages.open_page import ENTRY, open_page, shown_code
from tests.sample_runs import sample_run
from tests.written_address import written_address


@pytest.fixture
def app(digits):
    preview._memory().clear()  # it is shared by all sessions of a server
    return AppTest.from_file(str(ENTRY), default_timeout=60)


def opened(app, **params):
    return open_page(app, "train", **params)


def plain_texts(app):
    kinds = ("error", "warning", "info", "caption")
    return " ".join(item.value for kind in kinds for item in app.get(kind))


def test_it_opens_on_what_works_at_once(app):
    opened(app)
    assert shown_code(app) == train_command(START)
    assert not app.error
    assert not app.button(key="launch").disabled


def test_the_first_paint_needs_no_torch(digits):
    code = (
        "import sys; from streamlit.testing.v1 import AppTest; "
        "from pages.parts.shared import warm_up; warm_up.MODULES = (); "
        f"app = AppTest.from_file({str(ENTRY)!r}, default_timeout=60); app.run(); "
        "app.switch_page('pages/train.py').run(); assert not app.exception and app.code; "
        "assert not {'torch', 'altair'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ENTRY.parent)


@pytest.mark.parametrize("name", PRESETS)
def test_a_preset_fills_the_form(app, name):
    opened(app).button(key=f"preset-{name}").click().run()
    assert shown_code(app) == train_command(PRESETS[name].recipe)


RECIPES = [
    TrainRecipe(
        model="ResNet32",
        dataset="Digits",
        prune=None,
        epochs=3,
        schedule="cosine",
        augment=True,
        device="cpu",
    ),
    TrainRecipe(
        model="resnet18",
        dataset="Digits",
        prune=Prune(method="synflow", density=0.123, layerwise=True, rounds=7),
    ),
    TrainRecipe(
        model="LeNet5",
        dataset="Digits",
        prune=Prune(batch_size=64, batches=3, score_mode="train", augment=False),
        batch_size=16,
        lr=0.025,
        momentum=0.0,
        weight_decay=0.0,
        step=5,
        gamma=0.5,
        label_smoothing=0.1,
        augment=False,
        train_images=99,
        seed=12,
    ),
]


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.model)
def test_duplicating_a_run_makes_its_recipe_again(app, store, spawned, recipe):
    run = store.create(recipe)
    opened(app, **{"from": run.id}).button(key="launch").click().run()
    assert not app.exception
    (copy,) = [other for other in store.list() if other.id != run.id]
    assert copy.recipe == recipe
    assert spawned == [copy.id]


def test_an_import_has_no_settings_to_take_over(app, store):
    run = store.create(
        ImportRecipe(file="net.pt", model="LeNet5", dataset="Digits", mean=(0, 0, 0), std=(1, 1, 1))
    )
    opened(app, **{"from": run.id})
    assert not app.exception
    assert "was not trained here" in app.error[0].value
    assert shown_code(app) == train_command(START)


def test_a_run_that_is_gone_says_so(app):
    opened(app, **{"from": "0123456789"})
    assert "There is no run" in app.error[0].value
    assert shown_code(app) == train_command(START)


@pytest.mark.parametrize("name", ["model", "from"])
def test_a_picture_in_the_address_is_shown_as_text(app, name):
    opened(app, **{name: "![x](http://example.org/x.png)"})
    (message,) = [element.value for kind in ("warning", "error") for element in app.get(kind)]
    assert "![" not in message
    assert r"\!\[x\]" in message


def test_each_data_set_starts_with_its_number_of_validation_images(app):
    opened(app)
    assert app.number_input(key="validation").value == 143
    app.selectbox(key="dataset").set_value("CIFAR10").run()
    assert app.number_input(key="validation").value == 5000
    app.number_input(key="validation").set_value(0).run()
    assert "--validation" not in shown_code(app)
    app.button(key="preset-Original").click().run()
    assert shown_code(app) == train_command(TrainRecipe())
    app.button(key="preset-Laptop").click().run()
    assert "--validation 5000" in shown_code(app)


def test_too_many_validation_images_are_refused(app):
    opened(app, validation="1436")
    assert "validation must be in" in plain_texts(app)
    assert app.button(key="launch").disabled


def test_the_address_chooses(app):
    opened(app, model="VGG16", method="magnitude", density="0.2")
    assert shown_code(app) == train_command(
        START.model_copy(update={"model": "VGG16", "prune": Prune(method="magnitude", density=0.2)})
    )


@pytest.mark.parametrize(
    ("name", "value"), [("model", "../etc"), ("dataset", "Folder/gone"), ("method", "<b>")]
)
def test_an_address_of_nothing_falls_back(app, name, value):
    opened(app, **{name: value})
    assert plain(value) in app.warning[0].value
    assert shown_code(app) == train_command(START)


def test_the_choice_is_in_the_address(app):
    opened(app).selectbox(key="model").select("ResNet20").run()
    assert written_address(app) == {"model": "ResNet20"}


@pytest.mark.parametrize(("typed", "density"), [(50.0, 0.5), (1.01, 1.0), (0.02, 0.02)])
def test_a_density_in_percent_is_understood(app, typed, density):
    opened(app).number_input(key="density").set_value(typed).run()
    assert app.number_input(key="density").value == density
    assert not app.error


def test_slider_and_exact_density_agree(app):
    opened(app).select_slider(key="step_of_density").set_value(0.3).run()
    assert "--retrain 0.3" in shown_code(app)
    assert app.number_input(key="density").value == 0.3
    app.number_input(key="density").set_value(0.012).run()
    assert "--retrain 0.012" in shown_code(app)
    assert app.select_slider(key="step_of_density").value == 0.01


def test_torchvisions_networks_lie_apart(app):
    options = opened(app).selectbox(key="model").options
    assert len(options) == len(MODELS)
    app.segmented_control(key="family").set_value("torchvision").run()
    assert len(app.selectbox(key="model").options) == len(TORCHVISION)
    assert app.selectbox(key="model").value == "resnet18"
    assert not app.error


def test_a_wrong_address_of_a_cluster_is_refused_before_a_run_is_made(app, store, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    opened(app).button(key="launch").click().run()
    assert "RAY" in app.error[0].value
    assert store.list() == []


def test_a_network_for_larger_images_is_refused_before_it_starts(app):
    opened(app, model="alexnet")
    assert "at least 63 x 63 pixels" in app.error[0].value
    assert app.button(key="launch").disabled


def test_a_device_that_is_not_there_is_refused(app):
    opened(app, device="cuda:77")
    assert plain("cuda:77") in app.error[0].value
    assert app.button(key="launch").disabled


def test_a_device_of_no_form_is_refused(app):
    opened(app, device="toaster")
    assert "device" in app.error[0].value


def test_the_methods_are_those_of_the_recipe():
    assert set(METHOD_NAMES) == {*get_args(Method), DENSE}


@pytest.mark.parametrize("method", ["erk", "uniform+"])
def test_a_method_that_sets_layer_densities_switches_layerwise_off(app, method):
    opened(app).toggle(key="layerwise").set_value(True).run()
    app.selectbox(key="method").select(method).run()
    assert app.toggle(key="layerwise").disabled
    assert not app.toggle(key="layerwise").value
    assert "--prunetype False" in shown_code(app)
    assert f"--method {method}" in shown_code(app)
    assert not app.error
    assert not app.button(key="launch").disabled
    app.selectbox(key="method").select("snip").run()
    assert not app.toggle(key="layerwise").disabled


def test_a_pattern_sets_the_density_and_goes_with_some_methods_only(app):
    opened(app, pattern="2:4")
    assert app.number_input(key="density").value == 0.5
    assert app.number_input(key="density").disabled
    assert "--retrain 0.5 " in shown_code(app)
    assert "--pattern 2:4" in shown_code(app)
    assert not app.error
    app.selectbox(key="method").select("erk").run()
    assert "--pattern" not in shown_code(app)
    assert not app.error
    assert not app.number_input(key="density").disabled


def test_every_setting_has_a_help_text(app):
    opened(app)
    for widget in [*app.number_input, *app.selectbox, *app.select_slider, *app.toggle]:
        assert widget.proto.help or widget.proto.label_visibility.value, widget.label


# -- preview --


def figures(app):
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def test_the_preview_follows_the_slider(app):
    opened(app).button(key="preview").click().run()
    assert not app.exception
    assert figures(app)["Weights kept"] == ("3,088", "5% of 61.8k")
    assert "images/s" in figures(app)["Training, about"][1]
    app.select_slider(key="step_of_density").set_value(0.5).run()
    assert figures(app)["Weights kept"] == ("30,885", "50% of 61.8k")
    assert app.get("vega_lite_chart") or app.get("arrow_vega_lite_chart")


def test_the_time_follows_the_epochs_without_measuring_again(app):
    opened(app, epochs="10").button(key="preview").click().run()
    (key,) = [key for key, found in preview._memory().items() if isinstance(found, Pace)]
    preview._memory()[key] = Pace(1000.0, 2.0)
    for epochs, time in ((10, "20 s"), (40, "1 min 20 s")):
        app.number_input(key="epochs").set_value(epochs).run()
        assert figures(app)["Training, about"] == (time, "1,000 images/s")


def test_a_preview_that_is_forgotten_at_once_is_drawn(app, monkeypatch):
    """Other sessions may have filled the memory, which all share, in the meantime."""
    monkeypatch.setattr(preview, "MOST_RECIPES", 0)
    opened(app).button(key="preview").click().run()
    assert not app.exception
    assert "Weights kept" in figures(app)


def test_dead_layers_are_named(app):
    opened(app, density="0.0001").button(key="preview").click().run()
    assert not app.exception
    assert "classifier.0.weight" in app.warning[0].value


def test_weights_that_are_cut_off_are_warned_of(app):
    opened(app, density="0.5").button(key="preview").click().run()
    share = figures(app)["Can still matter"][0]
    assert float(share.rstrip("%")) > 95
    assert not app.warning
    app.number_input(key="density").set_value(0.001).run()
    assert not app.exception
    share = figures(app)["Can still matter"][0]
    assert float(share.rstrip("%")) < 95
    assert f"Only {share} of the kept weights" in app.warning[-1].value


def test_the_mode_of_scoring_changes_the_preview(app):
    opened(app, scoremode="train").button(key="preview").click().run()
    assert not app.exception
    assert "--scoremode train" in shown_code(app)


def test_a_dense_network_has_a_time_but_no_chart(app):
    opened(app, method="dense", seed="5").button(key="preview").click().run()
    assert figures(app)["Weights kept"] == ("61,770", "100% of 61.8k")
    assert "Training, about" in figures(app)


def test_iterative_methods_ask_again_for_each_density(app):
    opened(app, method="iterative-snip", rounds="2").button(key="preview").click().run()
    assert not app.exception
    assert figures(app)["Weights kept"][0] == "3,088"
    app.select_slider(key="step_of_density").set_value(0.5).run()
    assert not app.metric
    app.button(key="preview").click().run()
    assert figures(app)["Weights kept"][0] == "30,885"


def test_a_preview_never_downloads_by_itself(app, monkeypatch):
    asked = []

    def prepare(name, root):
        asked.append(name)
        return iter(())

    monkeypatch.setattr(data, "prepare", prepare)
    opened(app).selectbox(key="dataset").select("CIFAR100").run()
    assert "downloaded" in app.info[0].value
    assert not asked
    assert not [button for button in app.button if button.key == "preview"]
    assert not app.button(key="launch").disabled
    app.button(key="prepare").click().run()
    assert asked == ["CIFAR100"]


def test_what_torch_cannot_do_is_said(app, monkeypatch):
    def too_large(*_):
        raise RuntimeError("CUDA out of memory.\nA long explanation.")
        yield

    monkeypatch.setattr("core.forecast.pruning.preview_pruning", too_large)
    opened(app).button(key="preview").click().run()
    assert not app.exception
    assert app.error[0].value == "CUDA out of memory. Another batch size may help."
    assert not app.metric


# -- launch --


def test_launching_opens_the_run(app, store, spawned):
    opened(app).button(key="launch").click().run()
    (run,) = store.list()
    assert run.recipe == START
    assert spawned == [run.id]
    assert app.query_params["run"] in (run.id, [run.id])


def test_two_clicks_start_one_run(app, store, spawned, monkeypatch):
    opened(app)
    # The second click comes before the page is switched.
    monkeypatch.setattr("pages.parts.shared.shell.open_run", lambda run_id: None)
    app.button(key="launch").click().run()
    app.button(key="launch").click().run()
    assert len(store.list()) == len(spawned) == 1
    app.run()
    app.button(key="launch").click().run()
    assert len(store.list()) == 2


def test_a_launch_that_cannot_be_says_why(app, monkeypatch):
    def full(*_, **__):
        raise UserError("The disk is full.")

    monkeypatch.setattr(RunStore, "create", full)
    opened(app).button(key="launch").click().run()
    assert app.error[0].value == "The disk is full."


def test_coming_back_from_a_run_finds_the_form_as_it_was(app, store, spawned):
    sample_run(store)
    opened(app).selectbox(key="model").select("ResNet20").run()
    app.number_input(key="epochs").set_value(4).run()
    app.switch_page("pages/runs.py").run()
    app.switch_page("pages/train.py").run()
    assert not app.exception
    assert "--model ResNet20" in shown_code(app)


# -- import --


@pytest.fixture
def pets(tmp_path):
    """A zip of two classes of three different pictures each."""
    path = tmp_path / "my pets.zip"
    generator = np.random.default_rng(0)
    with zipfile.ZipFile(path, "w") as archive:
        for label in ("cat", "dog"):
            for number in range(3):
                file = tmp_path / "picture.png"
                Image.fromarray(generator.integers(0, 255, (20, 30, 3), dtype=np.uint8)).save(file)
                archive.write(file, f"{label}/{number}.png")
    return path


@pytest.fixture
def dialog(tmp_path):
    """The dialog alone: in a test, a click inside one would run the page without it."""

    def script(root):
        from pathlib import Path

        from pages.parts.shared.import_images import import_images_dialog

        import_images_dialog(Path(root))

    return AppTest.from_function(
        script, default_timeout=60, kwargs={"root": str(tmp_path / "data")}
    ).run()


def upload(dialog, *paths):
    files = [(path.name, path.read_bytes(), "application/octet-stream") for path in paths]
    dialog.file_uploader(key="import_files").set_value(files).run()


def test_ones_own_images_become_a_data_set(dialog, pets, tmp_path):
    assert dialog.button(key="import_go").disabled
    upload(dialog, pets)
    assert dialog.text_input[0].value == "my-pets"
    dialog.button(key="import_go").click().run()
    assert not dialog.exception
    assert not dialog.error
    assert data.is_ready("Folder/my-pets", tmp_path / "data")
    assert dialog.session_state["imported"] == "Folder/my-pets"


def test_an_upload_that_is_no_zip_is_called_by_its_name(dialog, tmp_path):
    (tmp_path / "pets.zip").write_bytes(b"no zip")
    upload(dialog, tmp_path / "pets.zip")
    dialog.button(key="import_go").click().run()
    assert dialog.error[0].value.startswith("pets.zip is neither")


def test_an_npz_becomes_a_data_set(dialog, tmp_path):
    images = np.random.default_rng(0).integers(0, 256, (12, 9, 9), np.uint8)
    np.savez(tmp_path / "shapes.npz", images=images, labels=np.arange(12) % 3)
    upload(dialog, tmp_path / "shapes.npz")
    assert dialog.text_input[0].value == "shapes"
    dialog.button(key="import_go").click().run()
    assert not dialog.exception
    assert not dialog.error
    assert data.load("Folder/shapes", tmp_path / "data").classes == ("0", "1", "2")


def test_the_shards_of_a_parquet_data_set_are_uploaded_together(dialog, tmp_path):
    paths = []
    for number, split in enumerate(("test", "train", "train")):
        table = pa.table(
            {
                "image": [picture_bytes(10 * number + row) for row in range(4)],
                "label": ["cat", "dog"] * 2,
            }
        )
        paths.append(tmp_path / f"{split}-0000{number}-of-00003.parquet")
        pq.write_table(table, paths[-1])
    upload(dialog, *paths)
    assert dialog.text_input[0].value == "images"
    dialog.button(key="import_go").click().run()
    assert not dialog.exception
    assert not dialog.error
    dataset = data.load("Folder/images", tmp_path / "data")
    assert (len(dataset.train), len(dataset.test), dataset.classes) == (8, 4, ("cat", "dog"))


def picture_bytes(seed):
    file = io.BytesIO()
    pixels = np.random.default_rng(seed).integers(0, 256, (10, 10, 3), np.uint8)
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def test_a_file_that_is_refused_is_called_by_its_name(dialog, tmp_path):
    np.savez(tmp_path / "my shapes.npz", images=np.zeros((4, 9, 9)), labels=np.arange(3))
    upload(dialog, tmp_path / "my shapes.npz")
    dialog.button(key="import_go").click().run()
    expected = "my shapes.npz has 4 images in images, but 3 labels in labels."
    assert dialog.error[0].value.replace("\\", "") == expected


def test_what_was_imported_is_chosen(app, pets, tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "data"))
    list(data.import_folder(pets, tmp_path / "data", "pets"))
    app.session_state["imported"] = "Folder/pets"
    opened(app)
    assert "must be at most 4, the number of training images" in app.error[0].value
    assert app.button(key="launch").disabled
    app.number_input(key="batch_size").set_value(2).run()
    assert "--dataset Folder/pets" in shown_code(app)


def test_a_folder_that_is_no_data_set_says_why(dialog, tmp_path):
    dialog.segmented_control(key="import_kind").set_value("Path").run()
    dialog.text_input(key="import_path").set_value(str(tmp_path / "nothing")).run()
    dialog.button(key="import_go").click().run()
    assert not dialog.exception
    assert "nothing" in dialog.error[0].value


@pytest.mark.parametrize("path", ["~nobody-here/pets", "a\0b", "x" * 5000])
def test_a_path_that_cannot_be_read_is_a_sentence(dialog, path):
    dialog.segmented_control(key="import_kind").set_value("Path").run()
    dialog.text_input(key="import_path").set_value(path).run()
    dialog.button(key="import_go").click().run()
    assert not dialog.exception
    assert dialog.error


def test_importing_is_offered(app):
    opened(app).button(key="import").click().run()
    assert not app.exception
    assert app.button(key="import_go").disabled
