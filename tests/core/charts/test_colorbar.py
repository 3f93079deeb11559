"""The colour bar."""

import numpy as np

from core.charts.colorbar import colorbar_chart, colorbar_table, colorbar_ticks
from core.inspect.mosaic import ColourScale

SCALE = ColourScale(-2.0, 2.0, "RdBu_r")


def test_a_bar_covers_its_scale_with_its_colours():
    rows = colorbar_table(SCALE)
    assert (rows["from"].iloc[0], rows["to"].iloc[-1]) == (-2.0, 2.0)
    assert np.allclose(rows["from"].iloc[1:], rows["to"].iloc[:-1])
    middle = rows[(rows["from"] < 0) & (rows["to"] > 0)]
    assert middle["colour"].tolist() == ["#" + bytes(SCALE.palette[126]).hex()]
    assert rows["colour"].iloc[0][1:3] < rows["colour"].iloc[0][5:7]  # blue below zero
    assert rows["colour"].iloc[-1][1:3] > rows["colour"].iloc[-1][5:7]


def test_the_ends_and_zero_are_written_at_it():
    assert colorbar_ticks(SCALE) == [-2, -1, 0, 1, 2]
    x = colorbar_chart(SCALE, "mean weight").to_dict()["encoding"]["x"]
    assert x["title"] == "mean weight"
    assert x["scale"]["domain"] == [-2, 2]
