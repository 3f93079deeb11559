"""Where the bytes of a packed file are, as one bar."""

from collections.abc import Mapping

import altair as alt
import pandas as pd

PARTS = {"masks": "Masks: which weights are zero", "indices": "Indices: which level a weight has",
         "tables": "Tables: how often each level occurs", "codebooks": "Codebooks: the levels' values",
         "rest": "Not quantized: biases, BatchNorm, layers left out", "header": "Names, shapes, and how it was made"}


def chart(sizes: Mapping[str, int]) -> alt.Chart:
    """Kilobytes of each part, side by side; `sizes` holds the bytes of every name of `PARTS`."""
    rows = frame(sizes)
    order = list(rows["part"])
    return alt.Chart(rows).mark_bar(height=34).encode(
        x=alt.X("bytes:Q", stack="zero", title="Bytes of the packed file", axis=alt.Axis(format="~s", tickCount=6)),
        color=alt.Color("part:N", sort=order, scale=alt.Scale(domain=order),
                        legend=alt.Legend(orient="bottom", direction="vertical", columns=2, title=None,
                                          labelLimit=460, symbolType="square")),
        order=alt.Order("place:Q"),
        tooltip=[alt.Tooltip("part:N", title="Part"), alt.Tooltip("bytes:Q", title="Bytes", format=","),
                 alt.Tooltip("share:Q", title="Share", format=".1%")],
    ).properties(height=170)


def frame(sizes: Mapping[str, int]) -> pd.DataFrame:
    """One row for each part that takes a byte at all: place, part (in words), bytes, share."""
    total = sum(sizes[name] for name in PARTS)
    rows = [{"place": place, "part": f"{words} ({sizes[name]:,} bytes)", "bytes": sizes[name],
             "share": sizes[name] / total}
            for place, (name, words) in enumerate(PARTS.items()) if sizes[name]]
    return pd.DataFrame(rows)


def described(sizes: Mapping[str, int]) -> str:
    """The chart in a sentence, for who cannot see it."""
    rows = frame(sizes).sort_values("bytes", ascending=False)
    parts = "; ".join(rows["part"])
    return f"The packed file's {rows['bytes'].sum():,} bytes: {parts}."
