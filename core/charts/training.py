"""How a training went, epoch by epoch: charts of the EpochEnd events and of the densities that SNIP left."""

import altair as alt
import pandas as pd

MOST_POINTS = 1000  # of a line; more cannot be told apart, and every live tick sends them again
HEIGHT = 260


def loss(rows: list[dict], epochs: int) -> alt.Chart:
    """Cross entropy in nats of training and test over the epochs; `rows` are EpochEnd events as plain data."""
    return _train_and_test(rows, epochs, "loss", "Cross entropy (nats)", ".4f", "~g")


def accuracy(rows: list[dict], epochs: int) -> alt.Chart:
    """Share of right answers in training and test over the epochs."""
    return _train_and_test(rows, epochs, "accuracy", "Accuracy", ".2%", "~%")


def learning_rate(rows: list[dict], epochs: int) -> alt.Chart:
    """The learning rate of each epoch's last step."""
    return _line(_table(rows, {"lr": "lr"}), epochs, "Learning rate", ".3~g", "~g", HEIGHT - 80)


def speed(rows: list[dict], epochs: int) -> alt.Chart:
    """Training images a second."""
    return _line(_table(rows, {"images_per_second": "speed"}), epochs, "Images a second", ",.0f", "~s", HEIGHT - 80)


def density(layers: dict[str, list[int]]) -> alt.Chart:
    """The share of weights that each layer keeps, in the network's order; `layers` as in the Pruned event."""
    table = pd.DataFrame([{"layer": name.removesuffix(".weight"), "kept": kept, "total": total, "share": kept / total}
                          for name, (kept, total) in layers.items()], columns=["layer", "kept", "total", "share"])
    return alt.Chart(table).mark_bar().encode(
        y=alt.Y("layer:N", sort=None, title=None, axis=alt.Axis(labelLimit=200, labelOverlap=False)),
        x=alt.X("share:Q", title="Weights kept", axis=alt.Axis(format="~%", tickCount=5), scale=alt.Scale(domainMin=0)),
        tooltip=[alt.Tooltip("layer:N", title="Layer"), alt.Tooltip("share:Q", title="Kept", format=".2%"),
                 alt.Tooltip("kept:Q", title="Weights kept", format=",d"),
                 alt.Tooltip("total:Q", title="of", format=",d")],
    ).properties(height=alt.Step(18))


def _train_and_test(rows: list[dict], epochs: int, name: str, title: str, exact: str, axis: str) -> alt.Chart:
    table = _table(rows, {f"train_{name}": "train", f"test_{name}": "test"})
    order = alt.Scale(domain=["train", "test"])
    return _line(table, epochs, title, exact, axis, HEIGHT).encode(
        color=alt.Color("series:N", scale=order, legend=alt.Legend(title=None, orient="top", symbolType="stroke",
                                                                   symbolStrokeWidth=3)),
        strokeDash=alt.StrokeDash("series:N", scale=alt.Scale(domain=["train", "test"], range=[[1, 0], [6, 3]]),
                                  legend=None))


def _line(table: pd.DataFrame, epochs: int, title: str, exact: str, axis: str, height: int) -> alt.Chart:
    """Lines over all the epochs that there will be, so that the picture fills from the left and does not rescale."""
    epoch = alt.X("epoch:Q", title="Epoch", scale=alt.Scale(domain=[1, max(2, epochs)], nice=False),
                  axis=alt.Axis(format="d", tickMinStep=1, grid=False))
    # Under a name of its own: Altair would name the data by its hash, and a browser draws a changed spec from scratch.
    chart = alt.Chart(alt.NamedData("epochs"), datasets={"epochs": table.to_dict("records")})
    return chart.mark_line(point=alt.OverlayMarkDef(size=24 if epochs <= 100 else 4), strokeWidth=2).encode(
        x=epoch, y=alt.Y("value:Q", title=title, scale=alt.Scale(zero=False), axis=alt.Axis(format=axis)),
        tooltip=[alt.Tooltip("epoch:Q", title="Epoch"), alt.Tooltip("series:N", title="Series"),
                 alt.Tooltip("value:Q", title=title, format=exact)],
    ).properties(height=height)


def _table(rows: list[dict], columns: dict[str, str]) -> pd.DataFrame:
    """One line an epoch and series, thinned evenly, the last epoch among them."""
    stride = -(-len(rows) // MOST_POINTS) or 1
    lines = [(row["epoch"], series, row[column]) for row in rows[::-stride][::-1] for column, series in columns.items()]
    return pd.DataFrame(lines, columns=["epoch", "series", "value"]).astype({"epoch": int, "value": float})
