"""The kernels page: every layer of a model, alone and compared with another model."""

import json
from pathlib import Path

import pytest
import torch
from streamlit.testing.v1 import AppTest

from core import models
from core.config import KMeansRecipe, TrainRecipe
from core.errors import UserError
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.models.saved import model_bytes
from core.runs.run import MODEL, write_status
from pages.parts.kernels.cached import KernelOptions, StoredWeight, kernel_figure, layer_rows
from pages.parts.shared.cache import model_key
from tests.written_address import written_address

ROOT = Path(__file__).parents[2]


def saved(store, name, network="LeNet5", change=lambda weight: weight, parent=None):
    """A finished run with a fresh network, of which every weight was changed."""
    torch.manual_seed(0)
    model = models.build(network, 10)
    with torch.no_grad():
        for weight in prunable_weights(model).values():
            weight.copy_(change(weight))
    card = ModelCard(
        model=network,
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0,) * 3,
        std=(1,) * 3,
        side=32,
    )
    recipe = KMeansRecipe() if parent else TrainRecipe(model=network, dataset="Digits")
    run = store.create(recipe, name, parent=parent)
    (run.path / MODEL).write_bytes(model_bytes(model.state_dict(), card))
    write_status(
        run.path, run.status.model_copy(update={"state": "finished", "test_accuracy": 0.9})
    )
    return store.get(run.id)


def opened(**address):
    app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=120).run()
    app.switch_page("pages/kernels.py")
    for key, value in address.items():
        app.query_params[key] = value
    app.run()
    assert not app.exception
    return app


def pictures(app):
    """The alternative texts of the pictures."""
    return [image.alt for element in app.get("image") for image in element.proto.imgs]


def domains(app):
    """The ends of the colour bars."""
    return [
        json.loads(bar.proto.spec)["encoding"]["x"]["scale"]["domain"]
        for bar in app.get("vega_lite_chart")
    ]


def table(app):
    rows = next(
        element.value for element in app.markdown if element.value.startswith("| |")
    ).splitlines()
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    return {first: rest for first, *rest in cells[2:]}


def test_no_models_yet():
    app = opened()
    assert "no model yet" in app.info[0].value
    assert not app.selectbox


def test_a_model_opens_at_its_first_layer(store):
    run = saved(store, "Dense")
    app = opened()
    assert [box.value for box in app.selectbox] == [run.id, "none", "features.0.weight"]
    assert written_address(app) == {}
    (picture,) = pictures(app)
    assert "features.0.weight of Dense: 6 kernels (mean weight) of shape 6 × 3 × 5 × 5" in picture
    assert table(app)["Weights"] == ["450"]
    assert table(app)["Different values"] == ["more than 256"]


def test_every_layer_can_be_reached_one_after_the_other(store):
    saved(store, "Dense")
    app = opened()
    seen = [app.selectbox(key="kernels_layer").value]
    while not app.button(key="next").disabled:
        app.button(key="next").click().run()
        assert not app.exception
        seen.append(app.selectbox(key="kernels_layer").value)
    assert seen == list(prunable_weights(models.build("LeNet5", 10)))
    app.button(key="previous").click().run()
    assert app.selectbox(key="kernels_layer").value == seen[-2]


def test_the_address_says_layer_view_and_channel(store):
    saved(store, "Dense")
    app = opened(layer="features.3.weight", look="channel", channel="4")
    assert app.number_input(key="channel").value == 4
    assert "16 kernels (weight)" in pictures(app)[0]
    app.selectbox(key="kernels_layer").select("features.0.weight").run()
    assert app.number_input(key="channel").value == 2  # the last one that this layer has
    assert not app.exception


@pytest.mark.parametrize(
    "address",
    [
        {"layer": "nowhere.weight"},
        {"view": "upside-down"},
        {"view": "rgb", "layer": "features.3.weight"},
        {"channel": "-7", "view": "channel"},
        {"channel": "999", "view": "channel"},
        {"mask": "perhaps"},
    ],
)
def test_an_address_that_makes_no_sense_falls_back(store, address):
    saved(store, "Dense")
    assert len(pictures(opened(**address))) == 1


def test_colours_and_masks(store):
    saved(store, "Pruned", change=lambda weight: weight * (weight > 0))
    app = opened(look="rgb")
    assert any("Red, green and blue" in caption.value for caption in app.caption)
    app.toggle(key="mask").set_value(True).run()
    assert any("black is pruned in all three" in caption.value for caption in app.caption)
    app.selectbox(key="kernels_layer").select("classifier.4.weight").run()
    assert domains(app) == [[0, 1]]
    assert "a matrix (1: kept, 0: pruned)" in pictures(app)[0]
    zeros = int(table(app)["Zeros"][0].split()[0].replace(",", ""))
    assert 300 < zeros < 540


def test_two_models_share_a_scale_and_a_child_opens_beside_its_parent(store):
    dense = saved(store, "Dense")
    double = saved(store, "Double", change=lambda weight: 2 * weight, parent=dense.id)
    app = opened()
    assert [app.selectbox(key=key).value for key in "ab"] == [double.id, dense.id]
    first, second = domains(app)
    assert first == second
    assert [words.split(" of ")[1].split(":")[0] for words in pictures(app)] == ["Double", "Dense"]
    ranges = [
        [float(end.replace("−", "-")) for end in cell.split(" to ")] for cell in table(app)["Range"]
    ]
    assert ranges[0] == pytest.approx([2 * end for end in ranges[1]], rel=0.02)


def test_networks_that_share_some_layers(store):
    small, large = saved(store, "Small", "ResNet20"), saved(store, "Large", "ResNet32")
    app = opened(a=small.id, b=large.id, layer="layer2.4.conv1.weight")
    assert "20 of 32" in app.info[0].value
    assert "Small has no such layer" in app.info[1].value
    assert len(pictures(app)) == 1
    app.selectbox(key="kernels_layer").select("conv1.weight").run()
    assert len(pictures(app)) == 2


def test_networks_that_share_no_layer_are_side_by_side_too(store):
    first, second = saved(store, "A", "LeNet5"), saved(store, "B", "ResNet20")
    app = opened(a=first.id, b=second.id)
    assert "no layer in common" in app.info[0].value
    assert [words.split(" of ")[0] for words in pictures(app)] == [
        "features.0.weight",
        "conv1.weight",
    ]
    # The fourth layers are a matrix and kernels.
    app.selectbox(key="kernels_layer").select("classifier.2.weight").run()
    assert ["a matrix" in words for words in pictures(app)] == [True, False]
    assert "layer1.1.conv1" in app.selectbox(key="kernels_layer").options[4]


def test_all_layers_at_once_and_a_click_on_one(store):
    dense = saved(store, "Dense")
    saved(store, "Child", change=lambda weight: weight.round(decimals=1), parent=dense.id)
    app = opened(layer="all")
    assert len(pictures(app)) == 10
    app.button(key="open_classifier.2.weight").click().run()
    assert app.selectbox(key="kernels_layer").value == "classifier.2.weight"
    assert len(pictures(app)) == 2


def test_a_damaged_file_is_a_sentence(store):
    run = saved(store, "Dense")
    (run.path / MODEL).write_bytes(b"weights")
    assert "damaged" in opened().error[0].value


def test_files_to_keep(store):
    dense, other = saved(store, "Dense"), saved(store, "Other", "ResNet20")
    weights = (
        StoredWeight(model_key(dense), "features.0.weight"),
        StoredWeight(model_key(other), "conv1.weight"),
    )
    names = ["Dense", "Other"]
    svg = kernel_figure(weights, KernelOptions(), names, "svg")
    assert svg == kernel_figure(weights, KernelOptions(), names, "svg")
    assert kernel_figure(weights, KernelOptions(), names, "png").startswith(b"\x89PNG")


def test_a_model_that_is_gone_is_a_sentence(store):
    run = saved(store, "Dense")
    (run.path / MODEL).unlink()
    with pytest.raises(UserError, match="is gone"):
        layer_rows([run])


def test_the_page_of_the_activations_is_not_told_what_was_chosen_here(store):
    """Both have a layer, a view and a channel, which are not the same things."""
    saved(store, "Dense")
    app = opened(layer="features.3.weight", look="channel", channel="2")
    app.switch_page("pages/activations.py").run()
    assert not app.exception
    assert app.segmented_control(key="view").value == "One layer"
    assert app.session_state["activation_layer"] is None
    app.switch_page("pages/kernels.py").run()
    assert not app.exception
    assert written_address(app)["layer"] == "features.3.weight"
