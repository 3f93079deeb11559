"""The activations page: its networks, its picture, and what it draws."""

import io
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.testing.v1 import AppTest

from core import data
from core.config import KMeansRecipe, TrainRecipe
from core.models import build, saved
from core.models.card import ModelCard
from core.runs import epochs
from core.runs.run import MODEL, write_status
from pages.parts.activations import cached
from pages.parts.activations.sources import density, training
from tests.sample_runs import RECIPE, sample_run

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"
LAYERS = {"LeNet5": 4, "ResNet20": 19}


@pytest.fixture
def app(digits):
    density._scored_networks().clear()  # shared by all sessions of a server
    cached._measured_batches().clear()
    return AppTest.from_file(str(ENTRY), default_timeout=60)


@pytest.fixture
def trained(store, digits):
    """A function that makes a finished run with real weights."""
    card = data.load("Digits", digits)

    def make(model="LeNet5", name="", seed=0, epochs_kept=(), **changes):
        run = sample_run(
            store,
            recipe=RECIPE.model_copy(update={"model": model}),
            name=name or f"{model} {seed}",
            **changes,
        )
        description = ModelCard(
            model=model,
            dataset="Digits",
            classes=card.classes,
            mean=card.mean,
            std=card.std,
            side=card.side,
        )
        for number in (0, *epochs_kept):
            torch.manual_seed(seed + number)
            path = epochs.epoch_file(run.path, number) if number else run.path / MODEL
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(saved.model_bytes(build(model, 10).state_dict(), description))
        return store.get(run.id)

    return make


def opened(app, **params):
    app.run()
    for name, value in params.items():
        app.query_params[name] = value
    app.switch_page("pages/activations.py").run()
    assert not app.exception
    return app


def texts(app):
    return " ".join(
        element.value
        for kind in ("markdown", "caption", "error", "warning", "info")
        for element in app.get(kind)
    )


def pictures(app):
    """The alternative texts of the pictures of the chosen layer: of networks and differences."""
    components = app.get("bidi_component")
    alts = [json.loads(component.proto.json or "{}").get("alt", "") for component in components]
    return [alt for alt in alts if " zeros" in alt or "cosine" in alt]


def captions(app):
    return " ".join(element.value for element in app.get("caption"))


def layers(app):
    """The lines of the list of layers, from the top."""
    return app.dataframe(key="activation_layers").value


def choose(app, key, value):
    app.segmented_control(key=key).set_value(value).run()
    assert not app.exception
    return app


def test_no_models_yet(app):
    assert "no model yet" in opened(app).info[0].value


def test_no_training_yet(app):
    assert "No training has kept its epochs yet" in opened(app, of="Training").info[0].value


def test_one_model_and_a_sample(app, trained):
    trained()
    opened(app)
    assert len(app.selectbox) == 2  # the model and the class
    assert list(layers(app)["Layer"]) == [
        "features.1",
        "features.4",
        "classifier.1",
        "classifier.3",
    ]
    assert len(pictures(app)) == 1
    assert "Normalised as in training" in texts(app)
    assert "LeNet5 0 says " in texts(app)


def test_a_compressed_model_stands_beside_its_parent_at_first(app, trained, store):
    parent = trained(name="parent")
    child = store.create(KMeansRecipe(clusters=5), "child", parent=parent.id)
    (child.path / MODEL).write_bytes((parent.path / MODEL).read_bytes())
    write_status(child.path, parent.status)
    opened(app)
    assert [app.selectbox(key=key).value for key in "ab"] == [parent.id, child.id]
    assert len(pictures(app)) == 2
    app.toggle(key="differences").set_value(True).run()
    assert len(pictures(app)) == 3
    assert "cosine 1.000, 0 newly dead" in pictures(app)[2]


def test_three_models_have_two_differences(app, trained):
    first, second, third = (trained(seed=seed) for seed in range(3))
    opened(app, a=first.id, b=second.id, c=third.id, differences="true")
    assert len(pictures(app)) == 5


def test_the_layers_of_a_comparison_are_sorted_by_damage(app, trained):
    first, second = trained(seed=0), trained(seed=1)
    opened(app, a=first.id, b=second.id)
    damage = list(layers(app)["Damage"])
    assert damage == sorted(damage, reverse=True)
    assert len(damage) == LAYERS["LeNet5"]
    most_damaged = layers(app)["Layer"][0]
    assert all(picture.startswith(f"{most_damaged} ") for picture in pictures(app))


def test_models_that_differ_have_a_sentence_and_no_difference(app, trained):
    opened(app, a=trained("LeNet5").id, b=trained("ResNet20").id)
    assert "do not have the same layers" in texts(app)
    assert len(layers(app)) == LAYERS["ResNet20"]
    assert len(pictures(app)) == 2
    assert not any(toggle.key == "differences" for toggle in app.toggle)
    choose(app, "view", "Table")


def test_a_layer_that_only_one_network_has(app, trained):
    opened(app, a=trained("LeNet5").id, b=trained("ResNet20").id, layer="layer3.2.relu:2")
    assert len(pictures(app)) == 1
    assert "No more activations." in texts(app)


def test_a_layer_in_full_with_its_channel(app, trained):
    first, second = trained(seed=0), trained(seed=1)
    opened(app, a=first.id, b=second.id, layer="features.4")
    choose(app, "order", "Difference")
    app.number_input(key="channel").set_value(7).run()
    assert not app.exception
    figures = app.dataframe[1].value
    assert figures["Network"].tolist() == ["A", "B"]
    assert set(figures["Dead"]) <= {"yes", "no"}
    assert "channel 7" in captions(app)
    assert "features.3.weight[7]" in captions(app)
    app.session_state["activation_layer"] = 0  # of six channels only
    app.run()
    assert not app.exception
    assert app.number_input(key="channel").value < 6


def test_a_network_with_smooth_activations_shows_all_of_them(app, trained):
    trained("mobilenet_v3_small")
    opened(app)
    assert len(layers(app)) == 33
    assert set(layers(app)["Kind"]) == {"ReLU", "Hardswish"}
    assert "33 activations" in texts(app)
    left_out = "features.1.block.1.scale_activation and 8 more (Hardsigmoid, a gate"
    assert left_out in texts(app).replace("\\", "")


def test_the_table_of_all_layers(app, trained):
    trained()
    choose(opened(app), "view", "Table")
    table = app.dataframe[1].value
    assert len(table) == LAYERS["LeNet5"]
    assert {"Dead", "Dead in batch", "Zeros", "Mean", "Max"} <= set(table.columns)
    assert (table["Dead in batch"] <= table["Dead"]).all()
    app.toggle(key="batch").set_value(False).run()
    assert "Dead in batch" not in app.dataframe[1].value
    assert len(app.dataframe[2].value) == 6


def test_the_picture_is_a_test_image_of_the_class_asked_for(app, trained, digits):
    trained()
    opened(app).selectbox(key="class").select("7").run()
    labels = data.load("Digits", digits).test.labels
    assert labels[app.number_input(key="sample").value] == 7
    app.button(key="another").click().run()
    assert labels[app.number_input(key="sample").value] == 7
    app.number_input(key="sample").set_value(3).run()
    assert app.selectbox(key="class").value == "any"
    assert not app.exception


@pytest.mark.parametrize("name", ["of", "order", "view", "layer", "picture", "differences"])
def test_an_address_that_names_nothing_is_no_error(app, trained, name):
    trained()
    opened(app, **{name: ""})
    assert len(pictures(app)) == 1


def test_the_address_names_the_picture(app, trained):
    trained()
    assert opened(app, sample="12").number_input(key="sample").value == 12


def upload(app, content, name="photo.png"):
    choose(app, "picture", "Upload").get("file_uploader")[0].set_value(
        (name, content, "image/png")
    ).run()
    assert not app.exception
    return app


def images(app):
    return [
        (image.alt, image.caption) for element in app.get("image") for image in element.proto.imgs
    ]


def photograph(mode="RGB", size=(60, 40), kind="PNG"):
    file = io.BytesIO()
    pixels = np.random.default_rng(0).integers(0, 256, (*size[::-1], 3), np.uint8)
    Image.fromarray(pixels).convert(mode).save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("RGB", "PNG"), ("CMYK", "JPEG"), ("P", "GIF"), ("RGBA", "WEBP"), ("L", "BMP")],
)
def test_an_uploaded_picture(app, trained, mode, kind):
    trained()
    upload(opened(app), photograph(mode, kind=kind))
    assert len(pictures(app)) == 1
    assert not app.error
    assert "32\u00a0×\u00a032" in " ".join(caption for _, caption in images(app))


def test_an_uploaded_picture_is_kept_on_all_pages_until_it_is_removed(app, trained):
    trained()
    upload(opened(app), photograph())
    app.switch_page("pages/home.py").run()
    app.switch_page("pages/activations.py").run()
    assert not app.exception
    assert app.segmented_control(key="picture").value == "Upload"
    assert "photo.png" in texts(app).replace("\\", "")
    assert len(pictures(app)) == 1
    app.button(key="remove").click().run()
    assert not pictures(app)
    assert len(app.get("file_uploader")) == 1


def test_a_network_of_digits_has_doubts_about_a_photograph(app, trained):
    trained()
    assert "handwritten digits" not in texts(opened(app))
    upload(app, photograph())
    assert "This network was trained on handwritten digits" in texts(app)


@pytest.mark.parametrize(
    "content", [b"only text", b"", photograph()[:200]], ids=["text", "empty", "truncated"]
)
def test_what_is_no_picture_is_refused_with_a_sentence(app, trained, content):
    trained()
    upload(opened(app), content)
    assert len(app.error) == 1
    assert app.error[0].value.endswith(".")
    assert not pictures(app)


def test_a_data_set_that_is_not_here_asks_for_an_upload(app, trained):
    run = trained()
    description = saved.read_card(run.path / MODEL)
    config = run.config.model_copy(update={"dataset": "CIFAR100"})
    (run.path / "config.json").write_text(config.model_dump_json())
    (run.path / MODEL).write_bytes(
        saved.model_bytes(
            saved.read_model(run.path / MODEL).state,
            description.model_copy(update={"dataset": "CIFAR100"}),
        )
    )
    opened(app)
    assert "CIFAR100 is not on this machine yet" in texts(app)
    upload(app, photograph())
    assert len(layers(app)) == LAYERS["LeNet5"]


def test_a_damaged_model_is_told_in_a_sentence(app, trained):
    run = trained()
    (run.path / MODEL).write_bytes(b"nothing")
    assert "damaged" in opened(app).error[0].value


def test_a_slider_goes_back_through_the_epochs(app, trained):
    run = trained(epochs_kept=(1, 2, 4))
    opened(app, of="Training", training=run.id)
    slider = app.select_slider(key="epoch")
    assert slider.options == ["1", "2", "4"]
    assert slider.value == 4
    slider.set_value(2).run()
    assert not app.exception
    assert f"{run.name}, epoch 2 says" in texts(app).replace("\\", "")
    assert len(layers(app)) == LAYERS["LeNet5"]


def test_the_last_epoch_is_the_result_where_it_was_thinned_away(app, trained):
    run = trained(epochs_kept=(1, 2))
    opened(app, of="Training", training=run.id)
    assert app.select_slider(key="epoch").options == ["1", "2", "4"]


def test_a_training_that_goes_on_is_followed(app, trained, store):
    run = trained(epochs_kept=(1, 2))
    write_status(run.path, run.status.model_copy(update={"state": "starting", "epoch": 2}))
    opened(app, of="Training", training=run.id)
    assert app.select_slider(key="epoch").value == 2
    epochs.epoch_file(run.path, 3).write_bytes(epochs.epoch_file(run.path, 1).read_bytes())
    app.run()
    assert app.select_slider(key="epoch").value == 3
    app.toggle(key="follow").set_value(False).run()
    app.select_slider(key="epoch").set_value(1).run()
    epochs.epoch_file(run.path, 4).write_bytes(epochs.epoch_file(run.path, 1).read_bytes())
    app.run()
    assert app.select_slider(key="epoch").value == 1


def test_a_training_before_its_first_epoch(app, store):
    run = store.create(TrainRecipe(model="LeNet5", dataset="Digits"))
    write_status(run.path, run.status.model_copy(update={"state": "starting"}))
    assert "first epoch is not over yet" in texts(opened(app, of="Training"))


@pytest.mark.parametrize("changes", [{"keep_every": 0}, {"keep_mb": 1, "model": "VGG16"}])
def test_a_training_that_keeps_nothing_says_why(app, store, changes):
    run = store.create(TrainRecipe(**{"model": "LeNet5", "dataset": "Digits"} | changes))
    write_status(run.path, run.status.model_copy(update={"state": "starting", "epoch": 1}))
    assert "keeps no epochs" in texts(opened(app, of="Training"))


def test_an_epoch_that_is_thinned_away_meanwhile_is_told(app, trained, monkeypatch):
    run = trained(epochs_kept=(1, 2))
    opened(app, of="Training", training=run.id)
    monkeypatch.setattr(training, "kept_epochs", lambda path: [1, 2, 3])
    app.select_slider(key="epoch").set_value(4).run()
    app.select_slider(key="epoch").set_value(3).run()
    assert not app.exception
    assert "cannot be read" in app.error[0].value


def test_a_fresh_network_at_any_density(app):
    opened(app, of="Density")
    assert "not trained yet" in texts(app)
    assert len(pictures(app)) == 2
    app.select_slider(key="at").set_value(1.0).run()
    assert not app.exception
    assert len(pictures(app)) == 1


def test_a_heavy_network_is_scored_on_demand(app):
    opened(app, of="Density").selectbox(key="fresh").select("VGG16").run()
    assert not app.exception
    assert app.button(key="score")
    assert not pictures(app)
