"""The download buttons below a picture of weights. A file is made only when it is downloaded."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

import streamlit as st

from core.inspect.weights.histogram import Distribution
from pages.parts.weights.choice import WeightsChoice

if TYPE_CHECKING:
    from core.charts.distributions import DistributionView


@dataclass(frozen=True)
class DistributionPicture:
    """A picture of distributions, as it is drawn into a file.

    models: The distributions by name.
    names: All names that have a colour, in the order of the colours.
    view: The kind of picture.
    log: Whether the counts are on a logarithmic scale.
    title: The title above the picture.
    axis_title: The title of the axis of values.
    """

    models: Mapping[str, Distribution]
    names: list[str]
    view: "DistributionView"
    log: bool
    title: str
    axis_title: str

    def csv(self) -> bytes:
        """Return the counts behind the picture as a table."""
        from core.charts import distributions

        return distributions.distribution_csv(self.models, self.view)

    def encoded(self, kind: Literal["png", "svg"]) -> bytes:
        """Return the picture as a file of this kind."""
        from core.charts import mosaic_figure
        from core.charts.distribution_figure import draw_distribution_figure

        figure = draw_distribution_figure(
            self.models, self.names, self.view, self.log, self.title, self.axis_title
        )
        return mosaic_figure.encode_figure(figure, kind)


def draw_distribution_downloads(
    choice: WeightsChoice, picture: DistributionPicture, kind: str
) -> None:
    """Draw the buttons. `kind` is "weights" or "error": it begins the files' names."""
    run_ids = "-".join(run.id for run in choice.runs)
    stem = f"{kind}-{run_ids}-{choice.layer or 'all'}"
    png = partial(picture.encoded, "png")
    svg = partial(picture.encoded, "svg")
    with st.container(horizontal=True, key=f"downloads_{kind}"):
        _draw_button("csv", stem, kind, picture.csv, "The counts behind the picture, with zeros.")
        _draw_button("png", stem, kind, png, "The picture in pixels.")
        _draw_button("svg", stem, kind, svg, "The picture for print, sharp at any size.")


def _draw_button(
    suffix: str, stem: str, kind: str, content: Callable[[], bytes], help_text: str
) -> None:
    st.download_button(
        suffix.upper(),
        content,
        f"{stem}.{suffix}",
        icon=":material/download:",
        key=f"{kind}_{suffix}",
        on_click="ignore",
        help=help_text,
        width="content",
    )
