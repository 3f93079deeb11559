"""The sizes of the parts of a packed file, as one bar."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

_PARTS = {
    "masks": "Masks: which weights are zero",
    "indices": "Indices: which level a weight has",
    "tables": "Tables: how often each level occurs",
    "codebooks": "Codebooks: the levels' values",
    "rest": "Not quantized: biases, BatchNorm, layers left out",
    "header": "Names, shapes, and how it was made",
}


def packed_bytes_chart(sizes: Mapping[str, int]) -> alt.Chart:
    """Draw the bytes of each part. `sizes` maps the name of each part to its bytes.

    The parts are masks, indices, tables, codebooks, rest and header.
    """
    table = packed_bytes_table(sizes)
    parts = list(table["part"])
    x = alt.X(
        "bytes:Q",
        stack="zero",
        title="Bytes of the packed file",
        axis=alt.Axis(format="~s", tickCount=6, labelFlush=False),
    )
    legend = alt.Legend(
        orient="bottom",
        direction="vertical",
        columns=2,
        title=None,
        labelLimit=460,
        symbolType="square",
    )
    color = alt.Color("part:N", sort=parts, scale=alt.Scale(domain=parts), legend=legend)
    tooltip = [
        alt.Tooltip("part:N", title="Part"),
        alt.Tooltip("bytes:Q", title="Bytes", format=","),
        alt.Tooltip("share:Q", title="Share", format=".1%"),
    ]
    chart = alt.Chart(table).mark_bar(height=34)
    return chart.encode(x=x, color=color, order=alt.Order("place:Q"), tooltip=tooltip).properties(
        height=170
    )


def packed_bytes_table(sizes: Mapping[str, int]) -> pd.DataFrame:
    """Return a row for each part that is not empty: place, part (in words), bytes and share."""
    total = sum(sizes[name] for name in _PARTS)
    rows = []
    for place, (name, words) in enumerate(_PARTS.items()):
        size = sizes[name]
        if size:
            part = f"{words} ({size:,} bytes)"
            rows.append({"place": place, "part": part, "bytes": size, "share": size / total})
    return pd.DataFrame(rows)


def packed_bytes_alt_text(sizes: Mapping[str, int]) -> str:
    """Describe the chart for people who cannot see it, the largest part first."""
    rows = packed_bytes_table(sizes).sort_values("bytes", ascending=False)
    parts = "; ".join(rows["part"])
    return f"The packed file's {rows['bytes'].sum():,} bytes: {parts}."
