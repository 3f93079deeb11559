"""The colour bar."""

import numpy as np

from core.charts import scales
from core.inspect.mosaic import Scale


def test_a_bar_covers_its_scale_with_its_colours():
    scale = Scale(-2.0, 2.0, "RdBu_r")
    rows = scales.frame(scale)
    assert (rows["from"].iloc[0], rows["to"].iloc[-1]) == (-2.0, 2.0)
    assert np.allclose(rows["from"].iloc[1:], rows["to"].iloc[:-1])
    middle = rows[(rows["from"] < 0) & (rows["to"] > 0)]
    assert middle["colour"].tolist() == ["#" + bytes(scale.palette[126]).hex()]
    assert rows["colour"].iloc[0][1:3] < rows["colour"].iloc[0][5:7]  # blue below zero
    assert rows["colour"].iloc[-1][1:3] > rows["colour"].iloc[-1][5:7]


def test_the_ends_and_zero_are_written_at_it():
    assert scales.ticks(Scale(-2.0, 2.0, "RdBu_r")) == [-2, -1, 0, 1, 2]
    drawn = scales.bar(Scale(-2.0, 2.0, "RdBu_r"), "mean weight").to_dict()["encoding"]["x"]
    assert drawn["title"] == "mean weight"
    assert drawn["scale"]["domain"] == [-2, 2]
