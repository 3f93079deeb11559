"""The distribution of the chosen weights: statistics, the main picture, and B's error against A."""

from collections.abc import Mapping

import streamlit as st

from core.inspect.weights.histogram import Distribution
from pages.parts.shared.words import plain
from pages.parts.weights.cached import weight_comparison
from pages.parts.weights.choice import WeightsChoice
from pages.parts.weights.downloads import DistributionPicture, draw_distribution_downloads
from pages.parts.weights.statistics import draw_weight_statistics

_ERROR_HEIGHT = 280  # pixels


def draw_weight_charts(choice: WeightsChoice) -> None:
    """Draw the statistics and the pictures. Raises UserError for weights that are not finite."""
    comparison = weight_comparison(choice.first, choice.second, choice.layer, choice.bins)
    models = {}
    for name, model in zip(choice.names, comparison.distributions, strict=True):
        if model is not None:
            models[name] = model
    draw_weight_statistics(choice, models)
    for name in choice.names:
        if name not in models:
            st.info(
                f"{plain(name)} has no layer {plain(choice.layer)}.", icon=":material/hide_source:"
            )
    _draw_distributions(choice, models)
    if choice.second:
        st.subheader("Error: B − A", anchor=False)
        _draw_error(choice, comparison.difference, comparison.reason)


def _draw_distributions(choice: WeightsChoice, models: Mapping[str, Distribution]) -> None:
    from core.charts import distributions  # imports altair, which an empty page does not need

    st.altair_chart(
        distributions.distribution_chart(models, choice.names, choice.picture, choice.log),
        key="distribution",
        alt=distributions.distribution_alt_text(
            models, f"{choice.picture} of the weights of {choice.layer_in_words}"
        ),
    )
    counts = "; ".join(
        f"{name.partition(':')[0]}: {_counted_how(model, choice.picture)}"
        for name, model in models.items()
    )
    st.caption(
        f"{counts}. Turn the wheel over the picture to zoom, drag to move, double-click to reset."
    )
    picture = DistributionPicture(
        models=models,
        names=choice.names,
        view=choice.picture,
        log=choice.log,
        title=f"Weights of {choice.layer_in_words}",
        axis_title="weight value",
    )
    draw_distribution_downloads(choice, picture, "weights")


def _counted_how(model: Distribution, view: str) -> str:
    """Say whether the weights were counted by value or in bins."""
    bins = model.scatter if view == "Scatter" else model.histogram
    if not len(bins.low):
        return "all zero"
    return f"{bins.description} values" if bins.exact else bins.description


def _draw_error(choice: WeightsChoice, error: Distribution | None, reason: str) -> None:
    """Draw the distribution of B - A, or say why there is none."""
    from core.charts import distributions

    if error is None:
        st.info(reason, icon=":material/difference:")
        return
    if error.summary.zeros == error.summary.count:
        st.info(
            f"None: all {error.summary.count:,} weights are the same in A and in B.",
            icon=":material/equal:",
        )
        return
    models = {distributions.ERROR_NAME: error}
    names = [*choice.names, distributions.ERROR_NAME]  # the error has the third colour
    st.altair_chart(
        distributions.distribution_chart(
            models,
            names,
            "Histogram",
            choice.log,
            "Error of the weight, B − A",
            _ERROR_HEIGHT,
        ),
        key="error",
        alt=distributions.distribution_alt_text(
            models, f"Histogram of the error of {choice.layer_in_words}"
        ),
    )
    picture = DistributionPicture(
        models=models,
        names=names,
        view="Histogram",
        log=choice.log,
        title=f"Error of {choice.layer_in_words}, B − A",
        axis_title="error of the weight",
    )
    draw_distribution_downloads(choice, picture, "error")
