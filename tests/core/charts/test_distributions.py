"""The charts of distributions: their marks, scales and words, and the files made of them."""

import io

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from core.charts.distribution_figure import draw_distribution_figure
from core.charts.distributions import (
    distribution_alt_text,
    distribution_chart,
    distribution_csv,
    distribution_table,
    levels_chart,
    levels_table,
)
from core.charts.mosaic_figure import encode_figure
from core.inspect.weights.histogram import prepare_distributions, sort_finite
from core.inspect.weights.levels import LayerLevels

RANDOM = np.random.default_rng(0)
FLOAT = RANDOM.standard_normal(5000).astype(np.float32) * (RANDOM.random(5000) < 0.6)
SHARED = RANDOM.choice(np.array([-1, 0, 0.5], np.float32), 5000)
NAMES = ["A: before", "B: after"]


@pytest.fixture
def shown():
    return dict(
        zip(
            NAMES,
            prepare_distributions(
                [sort_finite(values, "") for values in (FLOAT, SHARED)], 640, 200
            ),
            strict=True,
        )
    )


def layers(chart):
    """Mark type and encoding of every layer."""
    return [(layer["mark"]["type"], layer["encoding"]) for layer in chart.to_dict()["layer"]]


def test_floats_are_bars_and_quantized_weights_spikes_at_their_values(shown):
    (bars, _), (spikes, _), *zeros = layers(distribution_chart(shown, NAMES, "Histogram", log=True))
    assert (bars, spikes) == ("rect", "rule")
    assert [mark for mark, _ in zeros] == ["text", "text"]
    rows = distribution_table(shown, "Histogram")
    assert rows[rows["model"] == "B: after"][["low", "high", "weights"]].to_numpy().tolist() == [
        [value, value, np.count_nonzero(value == SHARED)] for value in (-1, 0.5)
    ]
    assert rows["weights"].sum() == np.count_nonzero(FLOAT) + np.count_nonzero(SHARED)


def test_the_scatter_has_a_point_a_mark(shown):
    marks = layers(distribution_chart(shown, NAMES, "Scatter", log=True))
    assert [mark for mark, _ in marks] == ["point", "point", "text", "text"]
    assert {encoding["x"]["field"] for _, encoding in marks[:2]} == {"middle"}


@pytest.mark.parametrize("view", ["Histogram", "Scatter"])
def test_there_are_few_marks_for_any_number_of_weights(view):
    many = [sort_finite(RANDOM.standard_normal(100_000).astype(np.float32), "") for _ in range(2)]
    rows = distribution_table(
        dict(zip(NAMES, prepare_distributions(many, 640, 400), strict=True)), view
    )
    assert len(rows) <= 2 * 640
    assert rows["weights"].sum() == 200_000


@pytest.mark.parametrize("log", [True, False])
def test_every_axis_says_what_it_measures_and_how(shown, log):
    for _, encoding in layers(distribution_chart(shown, NAMES, "Histogram", log))[:2]:
        assert encoding["x"]["title"] == "Weight value"
        assert encoding["y"]["title"].startswith("Weights")
        assert (encoding["y"]["scale"].get("type") == "log") is log
        assert {tip["field"] for tip in encoding["tooltip"]} == {
            "model",
            "value",
            "weights",
            "share",
        }
        assert encoding["color"]["scale"]["domain"] == NAMES


def test_values_can_be_zoomed_but_not_their_numbers(shown):
    (zoom,) = distribution_chart(shown, NAMES, "Histogram", log=True).to_dict()["params"]
    assert zoom["bind"] == "scales"
    assert zoom["select"]["encodings"] == ["x"]


def test_the_second_model_alone_keeps_its_colour(shown):
    only = {"B: after": shown["B: after"]}
    for _, encoding in layers(distribution_chart(only, NAMES, "Histogram", log=True)):
        assert encoding["color"]["scale"]["domain"] == NAMES


@pytest.mark.parametrize("values", [np.zeros(9), np.ones(9), np.array([5.0])])
@pytest.mark.parametrize("view", ["Histogram", "Scatter"])
@pytest.mark.parametrize("log", [True, False])
def test_degenerate_layers_can_be_drawn(values, view, log):
    one = {"A": prepare_distributions([sort_finite(values.astype(np.float32), "")])[0]}
    spec = distribution_chart(one, ["A"], view, log).to_dict()
    low, high = next(
        layer["encoding"]["x"]["scale"]["domain"]
        for layer in spec["layer"]
        if "scale" in layer["encoding"]["x"]
    )
    assert low < values[0] < high
    assert encode_figure(draw_distribution_figure(one, ["A"], view, log, "one"), dpi=40).startswith(
        b"\x89PNG"
    )


def test_the_alternative_text_has_the_figures(shown):
    text = distribution_alt_text(shown, "Histogram of conv1")
    assert text.startswith("Histogram of conv1: A: before has 5,000 weights from ")
    assert f"{(SHARED == 0).sum():,} of them zero, 3 different" in text


@pytest.mark.parametrize("view", ["Histogram", "Scatter"])
def test_the_csv_holds_every_weight(shown, view):
    rows = pd.read_csv(io.BytesIO(distribution_csv(shown, view)))
    assert list(rows.columns) == ["model", "low", "high", "weights"]
    assert rows.groupby("model")["weights"].sum().to_dict() == dict.fromkeys(NAMES, 5000)
    zeros = rows[(rows["model"] == "A: before") & (rows["low"] == 0) & (rows["high"] == 0)]
    assert zeros["weights"].tolist() == [(FLOAT == 0).sum()]


@pytest.mark.parametrize("view", ["Histogram", "Scatter"])
@pytest.mark.parametrize("log", [True, False])
def test_the_figure_is_a_picture_with_words(shown, view, log):
    figure = draw_distribution_figure(shown, NAMES, view, log, "Weights of conv1")
    axes = figure.axes[0]
    assert axes.get_yscale() == ("log" if log else "linear")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("weight value", "frequency (weights)")
    words = " ".join(text.get_text() for text in figure.legends[0].get_texts())
    assert f"{(FLOAT == 0).sum():,} zeros apart" in words
    assert Image.open(io.BytesIO(encode_figure(figure, dpi=40))).size == (360, 200)
    assert b"<svg" in encode_figure(figure, "svg")


def test_a_bar_for_every_level():
    levels = LayerLevels("codebook", np.array([-1.0, 0.25, 0.25]), np.array([6, 3, 0]), 1, 1.5)
    rows = levels_table(levels)
    assert rows["weights"].tolist() == [6, 3, 0]
    assert rows["share"].tolist() == [0.6, 0.3, 0.0]
    spec = levels_chart(levels, "B: after", NAMES).to_dict()
    assert spec["mark"]["type"] == "bar"
    assert spec["encoding"]["x"]["title"] == "Value of the level"
    assert spec["encoding"]["y"]["title"] == "Weights"
