"""Two views of the activations page: Grad-CAM, and where the networks part."""

import io
import json

import numpy as np
import pytest
import torch
from PIL import Image
from streamlit.dataframe_util import convert_arrow_bytes_to_pandas_df
from streamlit.testing.v1 import AppTest

from core import data
from core.inspect.behaviour import class_maps, gradcam
from core.models import build, saved
from core.models.card import ModelCard
from core.runs.run import MODEL
from pages.parts.activations.gradcam import cached, view
from pages.parts.activations.gradcam.choices import class_indices
from tests.pages.open_page import ENTRY, open_page
from tests.sample_runs import RECIPE, sample_run


@pytest.fixture
def app(digits):
    for cache in (cached._class_map, cached._mappable_layers, cached._overlay):
        cache.clear()
    return AppTest.from_file(str(ENTRY), default_timeout=60)


@pytest.fixture
def trained(store, digits):
    """A function that makes a finished run with random weights, `noise` away from those of seed."""

    def make(model="LeNet5", seed=0, noise=0.0, classes=None):
        dataset = data.load("Digits", digits)
        run = sample_run(
            store, recipe=RECIPE.model_copy(update={"model": model}), name=f"{model} {seed} {noise}"
        )
        card = ModelCard(
            model=model,
            dataset="Digits",
            classes=classes or dataset.classes,
            mean=dataset.mean,
            std=dataset.std,
            side=dataset.side,
        )
        torch.manual_seed(seed)
        weights = build(model, len(card.classes)).state_dict()
        for weight in weights.values():
            if weight.is_floating_point():
                weight += noise * torch.randn_like(weight)
        (run.path / MODEL).write_bytes(saved.model_bytes(weights, card))
        return store.get(run.id)

    return make


def opened(app, **params):
    return open_page(app, "activations", **params)


def gradcam_of(app, *runs, **params):
    letters = dict(zip("abc", (run.id for run in runs), strict=False))
    return opened(app, **letters, view="Grad-CAM", **params)


def parting_of(app, *runs, **params):
    letters = dict(zip("abc", (run.id for run in runs), strict=False))
    return opened(app, **letters, view="Where they part", **params)


def texts(app):
    kinds = ("markdown", "caption", "error", "warning", "info")
    return " ".join(one.value for kind in kinds for one in app.get(kind)).replace("\\", "")


def maps(app):
    """The titles of the maps that are drawn: the letters of networks, and the differences."""
    components = app.get("bidi_component")
    alts = [json.loads(component.proto.json or "{}").get("alt", "") for component in components]
    start = "Grad-CAM over the picture"
    return [alt.removeprefix(start).strip() for alt in alts if alt.startswith(start)]


def cosines(app):
    """The cosines in the chart, by layer."""
    for chart in app.get("vega_lite_chart"):
        for dataset in chart.proto.datasets:
            if dataset.name == "similarities":
                table = convert_arrow_bytes_to_pandas_df(dataset.data.data)
                return dict(zip(table["layer"], table["cosine"], strict=True))
    return {}


needs_captum = pytest.mark.skipif(not gradcam.has_captum(), reason="captum is not installed")

# -- Grad-CAM --


@needs_captum
def test_one_network_has_one_map_of_the_class_that_it_predicts(app, trained):
    gradcam_of(app, trained())
    assert maps(app) == [""]
    assert "which is predicted" in app.selectbox(key="gradcam_class").options[0]
    assert app.selectbox(key="gradcam_layer").options == [
        "the last, features.3",
        "features.0",
        "features.3",
    ]
    assert "features.3`, 10\u00a0×\u00a010 places" in texts(app)
    assert "in the unit of the logits" in texts(app)


@needs_captum
def test_two_networks_have_two_maps_and_a_difference(app, trained):
    gradcam_of(app, trained(), trained(seed=1))
    assert maps(app) == ["A", "B", "B − A"]
    assert "less than A, the same, more" in texts(app)


@needs_captum
def test_three_networks_have_two_differences(app, trained):
    gradcam_of(app, *(trained(seed=seed) for seed in range(3)))
    assert maps(app) == ["A", "B", "C", "B − A", "C − A"]


@needs_captum
def test_a_network_equal_to_the_first_differs_nowhere(app, trained):
    gradcam_of(app, trained(), trained())
    assert "**B − A** · 0 to 0" in texts(app)


@needs_captum
def test_the_class_and_the_layer_are_in_the_address(app, trained):
    gradcam_of(app, trained(), gradcam_class="3", gradcam_layer="features.0")
    assert app.selectbox(key="gradcam_class").value == "3"
    assert "sees **3**" in texts(app)
    assert "features.0`, 28\u00a0×\u00a028 places" in texts(app)


@needs_captum
def test_a_chosen_class_stays_for_the_next_picture(app, trained):
    gradcam_of(app, trained())
    app.selectbox(key="gradcam_class").select("3").run()
    app.number_input(key="sample").set_value(5).run()
    assert not app.exception
    assert "sees **3**" in texts(app)


@needs_captum
@pytest.mark.parametrize("layer", ["classifier.1", "features.4", "", "nothing"])
def test_a_layer_without_a_map_is_refused_in_a_sentence(app, trained, layer):
    gradcam_of(app, trained(), gradcam_layer=layer)
    assert "There is no convolution with a height and a width" in texts(app)
    assert "features.3`" in texts(app)


@needs_captum
def test_a_class_that_only_one_network_has(app, trained):
    words = ("zero", "one", "2")
    gradcam_of(app, trained(), trained(classes=words), gradcam_class="one")
    assert maps(app) == ["B"]
    assert "**A** · It has no class 'one'." in texts(app)
    app.selectbox(key="gradcam_class").select("2").run()
    assert maps(app) == ["A", "B", "B − A"]


@needs_captum
def test_networks_with_different_layers_show_the_last_of_each(app, trained):
    gradcam_of(app, trained(), trained("ResNet20"))
    assert maps(app) == ["A", "B", "B − A"]
    assert "layer3.2.conv2`" in texts(app)
    app.selectbox(key="gradcam_layer").select("features.0").run()
    assert maps(app) == ["A"]
    assert "**B** · It has no such convolution." in texts(app)


@needs_captum
def test_a_picture_that_is_not_square(app, trained):
    gradcam_of(app, trained(), picture="Upload")
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (40, 60, 3), np.uint8)).save(
        file, "PNG"
    )
    app.get("file_uploader")[0].set_value(("photo.png", file.getvalue(), "image/png")).run()
    assert not app.exception
    assert maps(app) == [""]


def test_without_captum_a_sentence_names_what_to_install(app, trained, monkeypatch):
    monkeypatch.setattr(gradcam, "has_captum", lambda: False)
    gradcam_of(app, trained())
    assert "requirements-gradcam.txt" in app.info[0].value
    assert not maps(app)
    assert not any(box.key == "gradcam_class" for box in app.selectbox)


def test_networks_without_a_convolution_have_a_sentence(app, trained, monkeypatch):
    monkeypatch.setattr(gradcam, "has_captum", lambda: True)
    monkeypatch.setattr(view, "cached_mappable_layers", lambda network: {})
    gradcam_of(app, trained())
    assert "this network has none" in texts(app)


def test_a_hidden_view_computes_nothing(app, trained, monkeypatch):
    def fail(*args):
        raise AssertionError

    monkeypatch.setattr(class_maps, "class_map", fail)
    monkeypatch.setattr(class_maps, "mappable_layers", fail)
    first, second = trained(), trained(seed=1)
    opened(app, a=first.id, b=second.id)
    assert not maps(app)
    assert not cosines(app)


def test_classes_of_the_same_name_are_told_apart():
    assert class_indices(["crane", "dog", "crane"]) == {"crane": 0, "dog": 1, "crane (2)": 2}


# -- where the networks part --


def test_the_first_layer_below_the_threshold_is_named(app, trained):
    parting_of(app, trained(), trained(seed=1))
    assert list(cosines(app)) == ["features.1", "features.4", "classifier.1", "classifier.3"]
    assert "B parts from A at **features.1**" in texts(app)
    assert "below 0.90" in texts(app)


def test_equal_networks_stay_together(app, trained):
    parting_of(app, trained(), trained())
    assert list(cosines(app).values()) == pytest.approx([1] * 4)
    assert "B stays with A for this picture: no cosine is below 0.90." in texts(app)


def test_the_threshold_is_in_the_address(app, trained):
    parting_of(app, trained(), trained(noise=0.01), parting_threshold="1")
    assert app.number_input(key="parting_threshold").value == 1
    assert "parts from A" in texts(app)
    app.number_input(key="parting_threshold").set_value(0.0).run()
    assert "no cosine is below 0.00" in texts(app)


def test_networks_without_a_common_layer_have_a_sentence(app, trained):
    parting_of(app, trained(), trained("ResNet20"))
    assert "no layer of the same name and shape" in texts(app)
    assert not cosines(app)


def test_networks_with_some_common_layers_compare_only_these(app, trained):
    parting_of(app, trained("ResNet20"), trained("ResNet32"))
    assert "A and B do not have the same layers." in texts(app)
    assert "19 of the 19 layers of A" in texts(app)
    assert len(cosines(app)) == 19


def test_a_single_network_cannot_part(app, trained):
    parting_of(app, trained())
    assert "There is no view of these networks 'Where they part' here" in texts(app)
    assert app.segmented_control(key="view").value == "One layer"
