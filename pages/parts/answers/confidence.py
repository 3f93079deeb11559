"""Draws how sure all models are of their answers, and how far that can be trusted."""

import streamlit as st

from core.inspect.behaviour.calibration import RELIABILITY_BINS, count_margins, measure_reliability
from pages.parts.answers.comparison import Comparison
from pages.parts.shared.metrics import draw_metric


def draw_confidence(comparison: Comparison) -> None:
    """Draw the calibration errors, the reliability diagram and the histogram of margins."""
    from core.charts.answers import confidence  # imports altair

    images = len(comparison.labels)
    reliabilities = {
        model.name: measure_reliability(model.answers, comparison.labels)
        for model in comparison.models
    }
    margins = {
        model.name: count_margins(model.answers, comparison.labels) for model in comparison.models
    }
    with st.container(horizontal=True):
        for model in comparison.models:
            error = reliabilities[model.name].expected_calibration_error
            draw_metric(
                f"Calibration error of {model.letter}",
                f"{error:.1%}",
                f"on {images:,} images",
                f"Expected calibration error in {RELIABILITY_BINS} bins: the mean distance between"
                " confidence and accuracy. With few images it is above 0 by chance.",
            )
    left, right = st.columns(2)
    with left:
        st.subheader("Reliability", anchor=False)
        st.altair_chart(
            confidence.reliability_chart(
                confidence.reliability_table(reliabilities), comparison.names
            ),
            key="reliability",
            alt=confidence.calibration_alt_text(reliabilities),
        )
        st.caption(
            f"{images:,} images in {RELIABILITY_BINS} bins by confidence. On the dashed line a"
            " confidence of 80% is right in 80 of 100 cases; below it the model is too sure."
        )
    with right:
        st.subheader("Margins", anchor=False)
        st.altair_chart(
            confidence.margin_chart(confidence.margin_table(margins), comparison.names),
            key="margins",
            alt="Number of images by the margin of the true class, for each model",
        )
        st.caption(
            f"{images:,} images for each model, on a logarithmic axis. The margin is the"
            " probability of the true class minus the greatest other one: 0 or less for a wrong"
            " answer, 0 or more for a right one, and near 0 where a small change can turn it."
        )
