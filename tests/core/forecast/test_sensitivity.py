"""The sensitivity scan: what each layer costs, its error, and the stored results."""

import json
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.charts import sensitivity as picture
from core.compress.quantization.layers import layer_names, quantize_layer
from core.config import AffineRecipe, KMeansRecipe, QuantizeRecipe
from core.data import Dataset, ImageSet
from core.errors import UserError
from core.forecast.quantization import LayerForecast
from core.forecast.sensitivity import (
    QuantizationCost,
    SensitivityScan,
    _cost,
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


def logits_with_one_layer_quantized(saved, name, inputs):
    network = saved.network()
    item = quantize_layer(saved.state[name], name, RECIPE)
    assert item is not None
    network.load_state_dict({name: item.decode()}, strict=False)
    return network(inputs)


def test_the_divergence_of_each_layer_alone_as_a_second_implementation_has_it(saved, toy, tmp_path):
    """On training images, whose labels do not matter. The test images are not looked at."""
    part = toy.train
    no_labels = ImageSet(part.images, np.zeros(250, np.int64))
    no_test = ImageSet(part.images[:0], part.labels[:0])
    unlabelled = replace(toy, train=no_labels, test=no_test)
    found, _ = scanned(saved, unlabelled, RECIPE, tmp_path)
    assert (found.measure, found.images, found.of_images) == ("divergence", 250, 250)
    inputs = normalised(part.images)
    with torch.inference_mode():
        before = saved.network()(inputs).double().softmax(1)
        for name in layer_names(saved.card, RECIPE):
            after = logits_with_one_layer_quantized(saved, name, inputs).double().softmax(1)
            nats = (before * (before / after).log()).sum(1)
            assert found.layers[name].mean == pytest.approx(nats.mean().item(), rel=1e-3), name
            error = nats.std(correction=0).item() / math.sqrt(250)
            assert found.layers[name].error == pytest.approx(error, rel=1e-3), name
    assert all(cost.mean > 0 for cost in found.layers.values())


def test_a_scan_leaves_out_the_images_that_were_held_back(saved, toy, tmp_path):
    recipe = {"kind": "train", "validation": 150, "seed": 3}
    card = saved.card.model_copy(update={"recipes": (recipe,)})
    found, _ = scanned(SavedModel(card, saved.state), toy, RECIPE, tmp_path)
    assert (found.images, found.of_images) == (100, 100)


def test_the_accuracy_of_each_layer_alone_as_a_second_implementation_has_it(saved, toy, tmp_path):
    found, _ = scanned(saved, toy, RECIPE, tmp_path, "accuracy")
    assert (found.measure, found.images, found.of_images) == ("accuracy", 250, 250)
    inputs, labels = normalised(toy.test.images), torch.from_numpy(toy.test.labels)
    with torch.inference_mode():
        before = saved.network()(inputs).argmax(1) == labels
        for name in layer_names(saved.card, RECIPE):
            after = logits_with_one_layer_quantized(saved, name, inputs).argmax(1) == labels
            points = 100 * (before.double() - after.double())
            assert found.layers[name].mean == pytest.approx(points.mean().item()), name
            error = points.std(correction=0).item() / math.sqrt(250)
            assert found.layers[name].error == pytest.approx(max(error, 100 / 250)), name
    assert any(cost.mean for cost in found.layers.values())


def test_a_scan_of_one_measure_is_not_mixed_up_with_one_of_another(saved, toy, tmp_path):
    scanned(saved, toy, RECIPE, tmp_path, images=100)
    assert not load_scan(tmp_path, RECIPE, "accuracy", 100).layers
    older = {"images": 100, "of": 250, "accuracy": 0.9, "layers": {"a": {"2": [3, 1]}}}
    for file in tmp_path.glob("scan-*.json"):
        name = file.name.replace("scan-divergence", "sensitivity")
        (tmp_path / name).write_text(json.dumps(older))
    assert "a" not in load_scan(tmp_path, RECIPE, images=100).layers
    assert not load_scan(tmp_path, RECIPE, "accuracy", 100).layers


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
    partial = load_scan(tmp_path, RECIPE, images=100)
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
    known = load_scan(tmp_path, finer, images=100)
    assert unmeasured_layers(saved, finer, known) == names[:1]
    found, _ = scanned(saved, toy, finer, tmp_path, images=100)
    assert sorted(found.layers) == sorted({*names} - {names[1]})
    # The earlier results are still there.
    assert load_scan(tmp_path, RECIPE, images=100).layers.keys() == set(names)


def test_other_settings_are_kept_apart():
    recipes: list[QuantizeRecipe] = [
        RECIPE,
        KMeansRecipe(init="optimal"),
        KMeansRecipe(keep_zeros=False),
        AffineRecipe(),
        AffineRecipe(symmetric=True),
    ]
    assert (
        len({*map(scan_file_name, recipes), scan_file_name(RECIPE, images=500)}) == len(recipes) + 1
    )
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
        '{"layers": {"a": [1, 2]}, "images": 1, "of": 1}',
        '{"layers": {"a": {"2": ["x", 1]}}, "images": 1, "of": 1}',
        '{"layers": {"a": {"2": [NaN, 1]}}, "images": 1, "of": 1}',
    ],
)
def test_a_damaged_file_is_measured_again(saved, toy, tmp_path, content):
    file = tmp_path / scan_file_name(RECIPE, images=100)
    file.write_text(content)
    empty = SensitivityScan("divergence", 100, 250)
    assert load_scan(tmp_path, RECIPE, images=100, of_images=250) == empty
    found, _ = scanned(saved, toy, RECIPE, tmp_path, images=100)
    assert load_scan(tmp_path, RECIPE, images=100) == found
    assert json.loads(file.read_text())["of"] == 250


def test_a_layer_that_is_not_finite_is_named(saved, toy, tmp_path):
    name = layer_names(saved.card, RECIPE)[0]
    broken = SavedModel(
        saved.card, {**saved.state, name: torch.full_like(saved.state[name], torch.nan)}
    )
    with pytest.raises(UserError, match=name):
        scanned(broken, toy, RECIPE, tmp_path, images=100)


def test_no_change_among_a_thousand_images_is_not_no_error():
    logits = torch.eye(10).repeat(100, 1)
    labels = torch.arange(10).repeat(100)
    assert _cost(logits, logits, labels, "accuracy") == QuantizationCost(0.0, 0.1)
    assert _cost(logits, logits, labels, "divergence") == QuantizationCost(0.0, 0.0)


# -- picture --

LAYERS = [
    LayerForecast("a", 5, 100, 0, 5, 20, 9.5),
    LayerForecast("b", 5, 100, 0, 5, 20, None),
    LayerForecast("c", 0, 100, 0, None, 400, None),
    LayerForecast("d", 5, 100, 0, 5, 20, 8.0),
]
FOUND = SensitivityScan(
    "accuracy",
    1000,
    10_000,
    {
        "a": QuantizationCost(2.0, 0.6),
        "b": QuantizationCost(0.1, 0.2),
        "c": QuantizationCost(0.0, 0.1),
    },
)


def test_the_bars_are_what_was_measured_of_what_is_quantized():
    rows = picture.sensitivity_table(LAYERS, FOUND)
    assert list(rows["layer"]) == ["a", "b"]
    assert list(rows["cost"]) == [2.0, 0.1]
    assert list(rows["clear"]) == [True, False]
    assert list(rows["high"] - rows["low"]) == pytest.approx([1.2, 0.4])


@pytest.mark.parametrize(
    ("measure", "unit"), [("divergence", "nats"), ("accuracy", "percentage points")]
)
def test_a_click_on_a_bar_names_its_layer(measure, unit):
    spec = picture.sensitivity_chart(
        picture.sensitivity_table(LAYERS, FOUND), ["a", "b", "d"], "clusters", measure
    ).to_dict()
    (param,) = spec["params"]
    assert (param["name"], param["select"]["fields"]) == (picture.SELECTION, ["layer"])
    assert spec["datasets"]["layers"][0]["layer"] == "a"
    assert spec["layer"][0]["encoding"]["y"]["scale"]["domain"] == ["a", "b", "d"]
    assert unit in spec["layer"][0]["encoding"]["x"]["title"]


def test_the_picture_in_words():
    table = picture.sensitivity_table(LAYERS, FOUND)
    assert "most of a (2), b (0.1)" in picture.sensitivity_alt_text(table, "accuracy")
    empty = picture.sensitivity_table(LAYERS, SensitivityScan("divergence", 1, 1))
    assert picture.sensitivity_alt_text(empty) == "No layer was measured yet."
