"""The weights page: its choices, pictures, table and sentences."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from streamlit.testing.v1 import AppTest

from core.compress import affine, codec, kmeans
from core.config import AffineRecipe, KMeansRecipe, TrainRecipe
from core.events import Quantized
from core.jobs.quantize import quantized_layer
from core.models import build, saved
from core.models.card import ModelCard
from core.runs.run import MODEL, PACKED, write_status
from pages.parts.shared.cache import quantized_file
from pages.parts.shared.words import plain
from pages.parts.weights import table
from pages.parts.weights.cached import layers_in_packed_file
from tests.written_address import written_address

ENTRY = Path(__file__).parents[2] / "streamlit_app.py"
CLASSES = tuple("0123456789")


@pytest.fixture
def lenet():
    torch.manual_seed(0)
    return build("LeNet5", 10)


@pytest.fixture
def finished(store):
    """A function that makes the finished run of a recipe with weights, some of them quantized."""

    def finished(recipe, state, parent=None, name="", accuracy=0.9):
        run = store.create(recipe, name, parent and parent.id)
        tensors = {
            name: item if isinstance(item, torch.Tensor) else item.decode()
            for name, item in state.items()
        }
        (run.path / MODEL).write_bytes(
            saved.model_bytes(
                tensors,
                ModelCard(
                    model=run.model,
                    dataset=run.dataset,
                    classes=CLASSES,
                    mean=(0.5,) * 3,
                    std=(0.25,) * 3,
                    side=32,
                    recipes=(recipe.model_dump(mode="json"),),
                ),
            )
        )
        if any(tensors[name] is not state[name] for name in state):
            codec.save(
                run.path / PACKED,
                state,
                ModelCard(
                    model=run.model, classes=CLASSES, mean=(0.5,) * 3, std=(0.25,) * 3, side=32
                ),
            )
        write_status(
            run.path, run.status.model_copy(update={"state": "finished", "test_accuracy": accuracy})
        )
        return store.get(run.id)

    return finished


@pytest.fixture
def dense(finished, lenet):
    return finished(
        TrainRecipe(model="LeNet5", dataset="Digits", prune=None), lenet.state_dict(), name="Dense"
    )


@pytest.fixture
def shared(finished, lenet, dense):
    return finished(
        KMeansRecipe(clusters=5), lenet.state_dict() | kmeans.share_model(lenet, 5), dense
    )


def opened(**address):
    app = AppTest.from_file(str(ENTRY), default_timeout=60).run()
    app.switch_page("pages/weights.py")
    for name, value in address.items():
        app.query_params[name] = value
    app.run()
    assert not app.exception
    return app


def address(app, name):
    return written_address(app).get(name)


def figures(app):
    return {metric.label: (metric.value, metric.delta) for metric in app.metric}


def texts(app):
    kinds = ("markdown", "caption", "info", "warning", "error")
    return " ".join(item.value for kind in kinds for item in app.get(kind))


def charts(app):
    return [chart.proto.alt for chart in app.get("vega_lite_chart")]


def test_no_model_yet():
    app = opened()
    assert "no model yet" in app.info[0].value
    assert not app.selectbox


def test_one_model_is_shown_alone(dense):
    app = opened()
    assert written_address(app) == {}
    assert figures(app)["Weights"] == ("61,770", "")
    assert "only one model" in texts(app)
    assert len(charts(app)) == 1
    assert app.button(key="swap").disabled
    rows = app.dataframe[0].value
    assert rows["layer"].tolist()[:2] == ["The whole network", "features.0.weight"]
    assert rows["weights A"].tolist() == [61770, 450, 2400, 48000, 10080, 840]
    assert "snr" not in rows


def test_the_newest_is_shown_beside_what_it_was_made_of(dense, shared):
    app = opened()
    assert (app.selectbox(key="a").value, app.selectbox(key="b").value) == (dense.id, shared.id)
    assert figures(app)["Levels"][0] == "25"  # five in each of five layers
    assert figures(app)["SNR of B"][0].endswith("dB")
    assert len(charts(app)) == 2
    assert "25 different values" in texts(app)


def test_a_layer_by_the_address_has_its_levels(dense, shared, lenet):
    app = opened(a=dense.id, b=shared.id, layer="classifier.4.weight")
    assert figures(app)["Weights"] == ("840", "A: 840")
    assert figures(app)["Levels"][0] == "5"
    assert "5: centroids" in texts(app)
    assert "not quantized here" in texts(app)
    main, error, levels = charts(app)
    assert "B: 5 clusters has 840 weights" in main
    assert "error of classifier.4.weight" in error
    assert "5 levels of classifier.4.weight in B" in levels


def test_a_packed_file_in_float_is_no_quantized_one(dense, shared, lenet):
    """A layer of few values is a codebook in any packed file, and no level of anything."""
    state = lenet.state_dict()
    state["classifier.4.weight"] = torch.arange(840.0).reshape(10, 84) % 3
    codec.save(dense.path / PACKED, state, saved.read_card(dense.path / MODEL))
    assert isinstance(
        codec.load(dense.path / PACKED).tensors["classifier.4.weight"], kmeans.Codebook
    )
    assert quantized_file(dense) is None
    assert layers_in_packed_file(dense) == {}
    assert quantized_file(shared) == shared.path / PACKED
    assert (
        opened(a=dense.id, b=shared.id)
        .dataframe[0]
        .value.set_index("layer")
        .loc["classifier.4.weight", "bits A"]
        == 32
    )


def test_the_table_has_the_figures_of_both(dense, shared, lenet):
    rows = opened(a=dense.id, b=shared.id).dataframe[0].value.set_index("layer")
    weight = lenet.classifier[4].weight.detach().numpy()
    row = rows.loc["classifier.4.weight"]
    assert row["shape"] == "10 × 84"
    assert row["levels A"] == str(len(np.unique(weight)))
    assert row["levels B"] == "5"
    assert (row["low A"], row["high A"]) == (weight.min(), weight.max())
    assert row["bits A"] == 32
    assert 0 < row["bits B"] < math.log2(5) + 5 * 40 / 840
    whole = rows.loc["The whole network"]
    total = (rows["bits B"] * rows["weights B"])[1:].sum()
    assert whole["bits B"] * 61770 == pytest.approx(total)


def test_choosing_a_layer_changes_all_and_the_address(dense, shared):
    app = opened(a=dense.id, b=shared.id)
    app.selectbox(key="weights_layer").select("features.0.weight").run()
    assert not app.exception
    assert address(app, "layer") == "features.0.weight"
    assert figures(app)["Weights"] == ("450", "A: 450")


def test_a_click_on_a_row_chooses_its_layer(monkeypatch):
    state: dict[str, Any] = {
        "weights_layers": {"selection": {"rows": [2], "columns": [], "cells": []}},
        "layer_shown": 0,
        "layers_listed": ["all", "one", "two"],
    }
    monkeypatch.setattr(table.st, "session_state", state)
    table._choose_clicked_layer()
    assert state["weights_layer"] == "two"
    state["weights_layers"]["selection"]["cells"] = [(1, "layer")]
    table._choose_clicked_layer()
    assert state["weights_layer"] == "one"
    selected_already = {"rows": [0], "columns": [], "cells": []}
    state["weights_layers"]["selection"] = selected_already
    table._choose_clicked_layer()
    assert state["weights_layer"] == "one"


def test_another_page_keeps_what_was_chosen_and_has_its_own_defaults(dense, shared):
    app = opened()
    assert (app.selectbox(key="a").value, app.selectbox(key="b").value) == (dense.id, shared.id)
    app.switch_page("pages/kernels.py").run()
    assert (app.selectbox(key="a").value, app.selectbox(key="b").value) == (shared.id, dense.id)
    assert written_address(app) == {}
    app.selectbox(key="b").set_value("none").run()
    assert written_address(app) == {"b": "none"}
    app.switch_page("pages/weights.py").run()
    assert app.selectbox(key="b").value == "none"


def test_swapping(dense, shared):
    app = opened(a=dense.id, b=shared.id)
    app.button(key="swap").click().run()
    assert not app.exception
    assert (address(app, "a"), address(app, "b")) == (shared.id, dense.id)
    assert figures(app)["Levels"][1] == "A: 25"


@pytest.mark.parametrize("key", ["a", "b", "layer"])
def test_an_address_of_nothing_says_so(dense, shared, key):
    app = opened(**{"a": dense.id, "b": shared.id} | {key: "../etc"})
    assert "'../etc'" in app.warning[0].value
    assert app.metric


def test_networks_that_differ_are_compared_by_eye_only(finished, dense):
    other = finished(
        TrainRecipe(model="ResNet20", dataset="Digits", prune=None),
        build("ResNet20", 10).state_dict(),
    )
    app = opened(a=dense.id, b=other.id)
    assert "different layers" in texts(app)
    assert figures(app)["SNR of B"][0] == "—"
    assert len(charts(app)) == 1
    app.selectbox(key="weights_layer").select("conv1.weight").run()
    assert not app.exception
    assert plain("A: Dense") + " has no layer conv1.weight" in texts(app)
    assert figures(app)["Weights"] == ("432", "")


def test_the_same_model_twice_has_no_error(dense):
    app = opened(a=dense.id, b=dense.id)
    assert "all 61,770 weights are the same" in texts(app)
    assert figures(app)["SNR of B"][0] == "lossless"


def test_levels_by_channel_and_a_pruned_layer(finished, lenet, dense):
    lenet.features[0].weight.data[:3] = 0
    state = lenet.state_dict()
    rounded = finished(AffineRecipe(bits=3), state | affine.quantize_model(lenet, 3, 0), dense)
    app = opened(a=dense.id, b=rounded.id, layer="features.0.weight")
    assert "8: integer levels" in texts(app)
    assert float(figures(app)["Zeros"][0].rstrip("%")) >= 50


def test_a_layer_has_the_same_figures_on_the_page_of_its_run(finished, lenet, dense):
    """The levels, in the same words, and the signal-to-noise ratio in decibels."""
    name = "classifier.4.weight"
    weight = lenet.state_dict()[name]
    weight[weight.abs() < weight.abs().median()] = 0
    before = finished(TrainRecipe(model="LeNet5", dataset="Digits"), lenet.state_dict())
    item = kmeans.share_weights(weight, 5)
    run = finished(KMeansRecipe(clusters=5, epochs=1), lenet.state_dict() | {name: item}, before)
    other = kmeans.share_weights(weight, 4)  # as it was before tuning
    events = [
        Quantized({name: quantized_layer(weight, other)}),
        Quantized({name: quantized_layer(weight, item)}, tuned=True),
    ]
    lines = [json.dumps(event.to_dict()) + "\n" for event in events]
    (run.path / "events.jsonl").write_text("".join(lines))
    app = opened(a=before.id, b=run.id, layer=name)
    rows = app.dataframe[0].value.set_index("layer")
    assert figures(app)["Levels"][0] == rows.loc[name]["levels B"] == "5 + zero"
    assert "5 + zero: centroids" in texts(app)
    ratio = rows.loc[name]["snr"]
    app.switch_page("pages/runs.py")
    app.query_params["run"] = run.id
    app.run()
    rows = app.dataframe[0].value.set_index("layer")
    assert rows.loc[name]["levels"] == "5 + zero"
    assert rows.loc[name]["snr"] == pytest.approx(ratio)


def test_a_layer_that_diverged_leaves_the_others(finished, lenet):
    state = lenet.state_dict()
    state["features.0.weight"][0] = math.nan
    finished(TrainRecipe(model="LeNet5", dataset="Digits", prune=None), state)
    app = opened()
    assert "features.0.weight holds 75 values that are NaN" in app.error[0].value
    assert len(app.dataframe[0].value) == 6
    app.selectbox(key="weights_layer").select("features.3.weight").run()
    assert not app.exception
    assert not app.error
    assert figures(app)["Weights"][0] == "2,400"


def test_a_damaged_file_is_a_sentence(dense):
    (dense.path / MODEL).write_bytes(b"\x10" * 100)
    app = opened()
    assert plain(str(dense.path)) in app.error[0].value


def test_picture_bins_and_scale_are_in_the_address(dense):
    app = opened(plot="Scatter", log="false")
    assert charts(app)[0].startswith("Scatter of the weights")
    assert not app.toggle(key="log").value
    assert app.select_slider(key="bins").disabled
    app = opened(bins="50")
    assert app.select_slider(key="bins").value == 50
    assert "in bins of" in texts(app)


def test_every_control_has_a_help_text(dense, shared):
    app = opened()
    for widget in [*app.selectbox, *app.toggle, *app.button, *app.select_slider]:
        assert widget.proto.help, widget.label


def test_models_of_one_name_are_told_apart(finished, lenet):
    recipe = TrainRecipe(model="LeNet5", dataset="Digits", prune=None)
    first, second = (finished(recipe, lenet.state_dict(), name="Twin") for _ in range(2))
    app = opened(a=first.id, b=second.id)
    assert sum("Twin" in option for option in app.selectbox(key="a").options) == 2
    assert len(set(app.selectbox(key="a").options)) == 2
    assert "are the same in A and in B" in texts(app)
