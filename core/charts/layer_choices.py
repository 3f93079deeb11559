"""Draws the choice of clusters or bits for each layer, and beside it how sensitive the layer is.

Nothing here needs torch.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import altair as alt
import pandas as pd

from core.charts.compare.colours import GREY
from core.runs.layer_choices import LayerChoices, choice_text, index_bits

_ROW = 20  # pixels for a layer
_AXIS = 65  # pixels, with the padding
_BAND = alt.RelativeBandSize(0.75)
_MOST_BITS = 8
_ROOM = 2  # bits at the right end, for the words at the longest bar
_COLUMNS = ["layer", "choice", "kind", "index_bits", "weights", "damage", "least_damage"]
_KINDS = ["clusters", "bits"]


def choice_table(
    choices: LayerChoices,
    weights: Mapping[str, int],
    measured: Mapping[str, Sequence[Mapping[str, Any]]],
) -> pd.DataFrame:
    """Return a row for each layer.

    weights: the number of weights of each layer. measured: the options of each layer as in the
    event LayersMeasured. Both can lack layers.

    Columns: layer; choice in words; kind, "clusters" or "bits"; index_bits, of an index of fixed
    length; weights; damage of this choice, and least_damage of the option of fewest bytes, in nats,
    with all other layers in float. A figure that is not known is None.
    """
    rows = []
    for name, choice in choices.items():
        options = list(measured.get(name, ()))
        damage = next((option["damage"] for option in options if _is_option(option, choice)), None)
        rows.append(
            [
                name,
                choice_text(choice),
                "bits" if "bits" in choice else "clusters",
                index_bits(choice),
                weights.get(name),
                damage,
                options[0]["damage"] if options else None,
            ]
        )
    # As objects, in which None stays None: a browser does not read NaN.
    return pd.DataFrame(rows, columns=_COLUMNS, dtype=object)


def choice_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Draw what each layer gets. table: the result of `choice_table`."""
    x = alt.X(
        "index_bits:Q",
        title="Bits of an index",
        scale=alt.Scale(domain=[0, _MOST_BITS + _ROOM], nice=False),
        axis=alt.Axis(values=list(range(_MOST_BITS + 1)), format="d", labelFlush=False),
    )
    color = alt.Color("kind:N", scale=alt.Scale(domain=_KINDS), legend=None)
    bars = _rows(table).encode(x=x)
    words = bars.mark_text(align="left", dx=5, color=GREY).encode(text="choice:N")
    return _of_layers([bars.mark_bar(height=_BAND).encode(color=color), words], table)


def sensitivity_of_choice_chart(table: pd.DataFrame) -> alt.LayerChart:
    """Draw how much the answers suffer if a layer alone gets its smallest option.

    Where that was not measured, draw the numbers of weights. table: the result of `choice_table`.
    """
    is_measured = table["least_damage"].notna().any()
    column = "least_damage" if is_measured else "weights"
    title = "KL divergence with its smallest option (nats)" if is_measured else "Weights"
    axis = alt.Axis(format="~g" if is_measured else "~s", tickCount=5, labelFlush=False)
    bars = _rows(table).encode(x=alt.X(f"{column}:Q", title=title, axis=axis))
    return _of_layers([bars.mark_bar(height=_BAND)], table)


def choice_alt_text(table: pd.DataFrame) -> str:
    """Describe both charts for people who cannot see them."""
    texts = [f"{row.layer} {row.choice}" for row in table.itertuples()]
    return f"The choice for each of {len(texts)} layers: {', '.join(texts)}."


def _is_option(option: Mapping[str, Any], choice: Mapping[str, float]) -> bool:
    return all(option.get(unit) == choice.get(unit) for unit in ("clusters", "bits", "density"))


def _rows(table: pd.DataFrame) -> alt.Chart:
    """Return a chart with a row for each layer, and what is known of it in the tooltip."""
    axis = alt.Axis(labelLimit=190, labelOverlap=False, labelFlush=False)
    y = alt.Y("layer:N", title=None, sort=list(table["layer"]), axis=axis)
    tooltip = [
        alt.Tooltip("layer:N", title="Layer"),
        alt.Tooltip("choice:N", title="Choice"),
        alt.Tooltip("weights:Q", title="Weights", format=",d"),
        alt.Tooltip("damage:Q", title="KL divergence, this layer alone (nats)", format=".3~g"),
        alt.Tooltip("least_damage:Q", title="With its smallest option (nats)", format=".3~g"),
    ]
    known = [entry for entry in tooltip if table[entry.shorthand.split(":")[0]].notna().any()]
    return alt.Chart().encode(y=y, tooltip=known)


def _of_layers(layer: list[alt.Chart], table: pd.DataFrame) -> alt.LayerChart:
    # A fixed name lets a browser move the bars instead of drawing the chart anew.
    return alt.LayerChart(
        layer=layer,
        data=alt.NamedData("layers"),
        datasets={"layers": table.to_dict("records")},
    ).properties(height=_ROW * len(table) + _AXIS)
