"""Charts of a training: what they draw from which numbers."""

import pandas as pd
import pytest

from core.charts.training import (
    MOST_POINTS_PER_LINE,
    accuracy_chart,
    batch_loss_chart,
    learning_rate_chart,
    loss_chart,
    speed_chart,
)


def epoch(number, **changes):
    return {
        "epoch": number,
        "train_loss": 1.0 / number,
        "test_loss": 2.0 / number,
        "train_accuracy": 0.5,
        "test_accuracy": 0.25,
        "lr": 0.1,
        "images_per_second": 1000.0,
    } | changes


def table(chart):
    return pd.DataFrame(chart.datasets["epochs"])


ROWS = [epoch(1), epoch(2)]
CHARTS = [loss_chart, accuracy_chart, learning_rate_chart, speed_chart]


def test_loss_has_a_line_for_training_and_one_for_the_test():
    chart = loss_chart(ROWS, 10)
    assert table(chart).values.tolist() == [
        [1, "train", 1.0],
        [1, "test", 2.0],
        [2, "train", 0.5],
        [2, "test", 1.0],
    ]
    color = chart.to_dict()["encoding"]["color"]
    assert color["scale"]["domain"] == ["train", "test"]
    assert chart.to_dict()["encoding"]["y"]["title"] == "Cross entropy (nats)"


def test_validation_has_a_line_where_there_is_one():
    chart = accuracy_chart([epoch(1, validation_accuracy=0.3)], 10)
    assert table(chart).values.tolist()[-1] == [1, "validation", 0.3]
    color = chart.to_dict()["encoding"]["color"]
    assert color["scale"]["domain"] == ["train", "test", "validation"]
    older = accuracy_chart([epoch(1, validation_accuracy=None)], 10)
    assert set(table(older)["series"]) == {"train", "test"}


def test_the_tooltip_of_an_accuracy_has_its_interval():
    chart = accuracy_chart(ROWS, 10, {"test": 10_000})
    assert table(chart)["interval"].tolist() == ["—", "24.2 to 25.9%"] * 2
    titles = [field["title"] for field in chart.to_dict()["encoding"]["tooltip"]]
    assert titles == ["Epoch", "Series", "Accuracy", "95% interval"]


@pytest.mark.parametrize(("chart", "value"), [(learning_rate_chart, 0.1), (speed_chart, 1000.0)])
def test_a_single_line_shows_its_column(chart, value):
    assert table(chart(ROWS, 10))["value"].tolist() == [value, value]


@pytest.mark.parametrize("chart", CHARTS)
@pytest.mark.parametrize("epochs", [1, 70])
def test_before_the_first_epoch_the_axes_are_there(chart, epochs):
    spec = chart([], epochs).to_dict()
    assert spec["encoding"]["x"]["scale"]["domain"] == [1, max(2, epochs)]
    assert table(chart([], epochs)).empty


@pytest.mark.parametrize("chart", CHARTS)
def test_more_data_changes_nothing_but_the_data(chart):
    """Then the browser moves the lines. With any other difference it would draw them anew."""

    def without_data(spec):
        return {key: value for key, value in spec.items() if key != "datasets"}

    assert without_data(chart([], 70).to_dict()) == without_data(chart(ROWS, 70).to_dict())


def test_a_long_training_is_thinned_and_keeps_its_last_epoch():
    points = table(speed_chart([epoch(number) for number in range(1, 10_001)], 10_000))
    assert len(points) <= MOST_POINTS_PER_LINE
    assert points["epoch"].iloc[-1] == 10_000
    assert set(points["epoch"].diff().dropna()) == {10}


def test_a_nan_loss_can_be_drawn():
    assert table(loss_chart([epoch(1, train_loss=float("nan"))], 2))["value"].isna().sum() == 1


def test_losses_of_batches_are_drawn_as_they_are():
    chart = batch_loss_chart([(0.1, 2.0), (0.2, 1.5)]).to_dict()
    assert chart["datasets"]["batches"] == [
        {"epochs": 0.1, "loss": 2.0},
        {"epochs": 0.2, "loss": 1.5},
    ]
    assert chart["encoding"]["y"]["title"] == "Training loss (nats)"
