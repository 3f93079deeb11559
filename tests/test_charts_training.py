"""Charts of a training: what they draw from which numbers."""

import pandas as pd
import pytest

from core.charts import training


def epoch(number, **changes):
    return {"epoch": number, "train_loss": 1.0 / number, "test_loss": 2.0 / number, "train_accuracy": 0.5,
            "test_accuracy": 0.25, "lr": 0.1, "images_per_second": 1000.0} | changes


def table(chart):
    return pd.DataFrame(chart.datasets["epochs"])


ROWS = [epoch(1), epoch(2)]
CHARTS = [training.loss, training.accuracy, training.learning_rate, training.speed]


def test_loss_has_a_line_for_training_and_one_for_the_test():
    chart = training.loss(ROWS, 10)
    assert table(chart).values.tolist() == [[1, "train", 1.0], [1, "test", 2.0], [2, "train", 0.5], [2, "test", 1.0]]
    color = chart.to_dict()["encoding"]["color"]
    assert color["scale"]["domain"] == ["train", "test"]
    assert chart.to_dict()["encoding"]["y"]["title"] == "Cross entropy (nats)"


@pytest.mark.parametrize(("chart", "value"), [(training.learning_rate, 0.1), (training.speed, 1000.0)])
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
    """The browser then moves the lines in place; any other difference would draw the picture anew."""
    def without_data(spec):
        return {key: value for key, value in spec.items() if key != "datasets"}

    assert without_data(chart([], 70).to_dict()) == without_data(chart(ROWS, 70).to_dict())


def test_a_long_training_is_thinned_and_keeps_its_last_epoch():
    points = table(training.speed([epoch(number) for number in range(1, 10_001)], 10_000))
    assert len(points) <= training.MOST_POINTS
    assert points["epoch"].iloc[-1] == 10_000
    assert set(points["epoch"].diff().dropna()) == {10}


def test_a_nan_loss_can_be_drawn():
    assert table(training.loss([epoch(1, train_loss=float("nan"))], 2))["value"].isna().sum() == 1


def test_density_keeps_the_networks_order_and_names_its_units():
    chart = training.density({"z.weight": [5, 10], "a.weight": [0, 40]})
    assert chart.data.to_dict("records") == [{"layer": "z", "kept": 5, "total": 10, "share": 0.5},
                                             {"layer": "a", "kept": 0, "total": 40, "share": 0.0}]
    assert chart.to_dict()["encoding"]["y"]["sort"] is None
