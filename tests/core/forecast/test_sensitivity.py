"""The sensitivity scan: the accuracy that each layer costs, its error, and the stored results."""

import json
import math

import numpy as np
import pytest
import torch

from core.charts import sensitivity as picture
from core.compress.quantization.layers import layer_names, quantize_layer
from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe
from core.data import Dataset, ImageSet
from core.errors import UserError
from core.forecast.quantization import LayerPlan
from core.forecast.sensitivity import (
    ChangedImages,
    SensitivityScan,
    load_scan,
    scan_file_name,
    scan_sensitivity,
    unmeasured_layers,
)
from core.models import build
from core.models.card import ModelCard
from core.models.saved import SavedModel

RECIPE = KMeansRecipe(clusters=2)


@pytest.fixture(scope="module")
def saved():
    torch.manual_seed(0)
    card = ModelCard(
        model="LeNet5",
        dataset="Toy",
        classes=tuple("0123456789"),
        mean=(0.4, 0.5, 0.6),
        std=(0.2, 0.3, 0.4),
        side=32,
    )
    return SavedModel(card, build("LeNet5", 10).state_dict())


@pytest.fixture(scope="module")
def toy(saved):
    """Random images under the labels that the network gives them, some of them wrong."""
    generator = np.random.default_rng(0)
    images = generator.integers(0, 256, (250, 3, 32, 32), dtype=np.uint8)
    with torch.inference_mode():
        labels = saved.network()(normalised(images)).argmax(1).numpy().copy()
    labels[::10] = (labels[::10] + 1) % 10
    part = ImageSet(images, labels)
    return Dataset("Toy", part, part, tuple("0123456789"), (0.1,) * 3, (0.1,) * 3, augment=False)


def normalised(images):
    mean, std = (
        torch.tensor([0.4, 0.5, 0.6]).view(3, 1, 1),
        torch.tensor([0.2, 0.3, 0.4]).view(3, 1, 1),
    )
    return (torch.from_numpy(images).float() / 255 - mean) / std


def scanned(*args, **more):
    """The scan, and the events on the way to it."""
    events, generator = [], scan_sensitivity(*args, **more)
    while True:
        try:
            events.append(next(generator))
        except StopIteration as end:
            return end.value, events


def test_each_layer_alone_as_a_second_implementation_has_it(saved, toy, tmp_path):
    found, _ = scanned(saved, toy, RECIPE, tmp_path)
    assert (found.images, found.test_images) == (250, 250)
    assert found.accuracy == pytest.approx(0.9)
    inputs, labels = normalised(toy.test.images), torch.from_numpy(toy.test.labels)
    with torch.inference_mode():
        before = saved.network()(inputs).argmax(1) == labels
        for name in layer_names(saved.card, RECIPE):
            network = saved.network()
            item = quantize_layer(saved.state[name], name, RECIPE)
            assert item is not None
            network.load_state_dict({name: item.decode()}, strict=False)
            after = network(inputs).argmax(1) == labels
            assert found.layers[name] == ChangedImages(
                int((before & ~after).sum()), int((~before & after).sum())
            ), name
            assert found.drop(name) == pytest.approx(
                (before.float().mean() - after.float().mean()).item()
            )
    assert any(measured.lost for measured in found.layers.values())


def test_the_model_is_as_it_was(saved, toy, tmp_path):
    before = {name: tensor.clone() for name, tensor in saved.state.items()}
    scanned(saved, toy, RECIPE, tmp_path)
    assert all(torch.equal(tensor, before[name]) for name, tensor in saved.state.items())


def test_progress_counts_the_images_of_all_layers(saved, toy, tmp_path):
    _, events = scanned(saved, toy, RECIPE, tmp_path, images=100)
    layers = len(layer_names(saved.card, RECIPE))
    assert {event.total for event in events} == {100 * (layers + 1)}
    assert [event.done for event in events] == [100 * step for step in range(layers + 1)]
    assert events[-1].stage == layer_names(saved.card, RECIPE)[-1]


def test_a_stopped_scan_goes_on_where_it_was(saved, toy, tmp_path):
    names, generator = (
        layer_names(saved.card, RECIPE),
        scan_sensitivity(saved, toy, RECIPE, tmp_path, images=100),
    )
    for _ in range(4):  # the network as it was, two layers, and into the third
        next(generator)
    generator.close()
    partial = load_scan(tmp_path, RECIPE, 100)
    assert list(partial.layers) == names[:2]
    assert unmeasured_layers(saved, RECIPE, partial) == names[2:]
    found, events = scanned(saved, toy, RECIPE, tmp_path, images=100)
    assert {event.total for event in events} == {100 * (len(names) - 1)}
    assert list(found.layers) == names
    assert scanned(saved, toy, RECIPE, tmp_path, images=100) == (found, [])


def test_a_setting_of_one_layer_scans_that_layer(saved, toy, tmp_path):
    names = layer_names(saved.card, RECIPE)
    scanned(saved, toy, RECIPE, tmp_path, images=100)
    finer = RECIPE.model_copy(update={"layers": {names[0]: 16, names[1]: 0}})
    known = load_scan(tmp_path, finer, 100)
    assert unmeasured_layers(saved, finer, known) == names[:1]
    found, _ = scanned(saved, toy, finer, tmp_path, images=100)
    assert sorted(found.layers) == sorted({*names} - {names[1]})
    # The earlier results are still there.
    assert load_scan(tmp_path, RECIPE, 100).layers.keys() == set(names)


def test_other_settings_are_kept_apart():
    recipes: list[QuantizeRecipe] = [
        RECIPE,
        KMeansRecipe(init="optimal"),
        KMeansRecipe(keep_zeros=False),
        AffineRecipe(),
        AffineRecipe(symmetric=True),
    ]
    assert len({*map(scan_file_name, recipes), scan_file_name(RECIPE, 500)}) == len(recipes) + 1
    assert scan_file_name(RECIPE) == scan_file_name(
        KMeansRecipe(clusters=9, epochs=3, layers={"conv": 3})
    )


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "{}",
        '{"layers": 5}',
        '{"layers": {"a": {"2": [1]}}}',
        '{"layers": {"a": [1, 2]}, "images": 1, "of": 1, "accuracy": 1}',
    ],
)
def test_a_damaged_file_is_measured_again(saved, toy, tmp_path, content):
    (tmp_path / scan_file_name(RECIPE, 100)).write_text(content)
    assert load_scan(tmp_path, RECIPE, 100, test_images=250) == SensitivityScan(100, 250)
    found, _ = scanned(saved, toy, RECIPE, tmp_path, images=100)
    assert load_scan(tmp_path, RECIPE, 100) == found
    assert json.loads((tmp_path / scan_file_name(RECIPE, 100)).read_text())["of"] == 250


def test_a_layer_that_is_not_finite_is_named(saved, toy, tmp_path):
    name = layer_names(saved.card, RECIPE)[0]
    broken = SavedModel(
        saved.card, {**saved.state, name: torch.full_like(saved.state[name], torch.nan)}
    )
    with pytest.raises(UserError, match=name):
        scanned(broken, toy, RECIPE, tmp_path, images=100)


def test_the_error_of_a_difference_counts_the_images_that_change_sides():
    found = SensitivityScan(
        1000, 10_000, 0.9, {"a": ChangedImages(30, 10), "b": ChangedImages(0, 0)}
    )
    assert found.drop("a") == 0.02
    changes = np.array([1] * 30 + [-1] * 10 + [0] * 960)
    assert found.error("a") == pytest.approx(changes.std() / math.sqrt(1000))
    assert found.error("b") == 0.001  # no change among a thousand is not no error


# -- picture --

LAYERS = [
    LayerPlan("a", 5, 100, 0, 5, 20, 9.5),
    LayerPlan("b", 5, 100, 0, 5, 20, None),
    LayerPlan("c", 0, 100, 0, None, 400, None),
    LayerPlan("d", 5, 100, 0, 5, 20, 8.0),
]
FOUND = SensitivityScan(
    1000,
    10_000,
    0.9,
    {"a": ChangedImages(30, 10), "b": ChangedImages(3, 2), "c": ChangedImages(9, 9)},
)


def test_the_bars_are_what_was_measured_of_what_is_quantized():
    rows = picture.sensitivity_table(LAYERS, FOUND)
    assert list(rows["layer"]) == ["a", "b"]
    assert list(rows["points"]) == [2.0, pytest.approx(0.1)]
    assert list(rows["clear"]) == [True, False]
    assert list(rows["high"] - rows["low"]) == pytest.approx(
        [2 * 100 * FOUND.error(name) for name in "ab"]
    )


def test_a_click_on_a_bar_names_its_layer():
    spec = picture.sensitivity_chart(
        picture.sensitivity_table(LAYERS, FOUND), ["a", "b", "d"], "clusters"
    ).to_dict()
    (param,) = spec["params"]
    assert (param["name"], param["select"]["fields"]) == (picture.SELECTION, ["layer"])
    assert spec["datasets"]["layers"][0]["layer"] == "a"
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == ["a", "b", "d"]
    assert "percentage points" in spec["layer"][0]["encoding"]["x"]["title"]


def test_the_picture_in_words():
    assert "most by a (2.0), b (0.1)" in picture.sensitivity_alt_text(
        picture.sensitivity_table(LAYERS, FOUND)
    )
    assert (
        picture.sensitivity_alt_text(picture.sensitivity_table(LAYERS, SensitivityScan(1, 1)))
        == "No layer was measured yet."
    )
