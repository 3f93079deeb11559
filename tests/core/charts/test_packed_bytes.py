"""The bytes of a packed file as one bar."""

from core.charts.packed_bytes import (
    packed_bytes_alt_text,
    packed_bytes_chart,
    packed_bytes_table,
)

SIZES = {"masks": 0, "indices": 600, "tables": 10, "codebooks": 90, "rest": 250, "header": 50}


def test_every_part_that_takes_bytes_is_drawn_in_order():
    rows = packed_bytes_table(SIZES)
    assert list(rows["bytes"]) == [600, 10, 90, 250, 50]
    assert list(rows["share"]) == [0.6, 0.01, 0.09, 0.25, 0.05]
    spec = packed_bytes_chart(SIZES).to_dict()
    assert spec["encoding"]["color"]["scale"]["domain"] == list(rows["part"])
    assert "Bytes" in spec["encoding"]["x"]["title"]


def test_the_bar_in_words_names_the_largest_first():
    text = packed_bytes_alt_text(SIZES)
    assert text.startswith(
        "The packed file's 1,000 bytes: Indices: which level a weight has (600 bytes); Not quant"
    )
