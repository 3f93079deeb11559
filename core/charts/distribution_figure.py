"""The distributions of weights as a matplotlib figure, to save as a file."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.charts.distributions import COUNT_FLOOR, DistributionView, bins_of, value_domain

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.container import BarContainer
    from matplotlib.figure import Figure

    from core.inspect.weights.histogram import Bins, Distribution

_COLOURS = ("tab:blue", "tab:orange", "tab:green")


def draw_distribution_figure(
    distributions: Mapping[str, "Distribution"],
    names: list[str],
    view: DistributionView,
    log: bool,
    title: str,
    x_title: str = "weight value",
) -> "Figure":
    """Draw what `distribution_chart` draws, with the same arguments, as a figure with a title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9, 5), layout="constrained")
    axes = figure.subplots()
    handles = []
    for name, distribution in distributions.items():
        bins = bins_of(distribution, view)
        style = {
            "color": _COLOURS[names.index(name)],
            "label": f"{name}: {_describe(distribution, bins)}",
        }
        handles.append(_draw_bins(axes, bins, view, COUNT_FLOOR if log else 0, style))
    axes.set(
        xlabel=x_title, ylabel="frequency (weights)", title=title, xlim=value_domain(distributions)
    )
    if log:
        axes.set(yscale="log")
        axes.set_ylim(bottom=COUNT_FLOOR)
    figure.legend(handles=handles, fontsize=8, loc="outside lower center")
    return figure


def _describe(distribution: "Distribution", bins: "Bins") -> str:
    summary = distribution.summary
    counted = bins.description if len(bins.low) else "all zero"
    zeros = f", {summary.zeros:,} zeros apart" if summary.zeros else ""
    return f"{summary.count:,} weights, {counted}{zeros}"


def _draw_bins(
    axes: "Axes", bins: "Bins", view: DistributionView, floor: float, style: dict[str, Any]
) -> "Artist | BarContainer":
    """Draw the bins, and return what represents them in the legend."""
    if view == "Scatter":
        return axes.scatter(bins.middle, bins.counts, s=9, alpha=0.7, **style)
    if bins.exact:
        return axes.vlines(bins.low, floor, bins.counts, linewidth=2, alpha=0.85, **style)
    return axes.bar(
        bins.low,
        height=bins.counts - floor,
        width=bins.high - bins.low,
        bottom=floor,
        align="edge",
        alpha=0.6,
        **style,
    )
