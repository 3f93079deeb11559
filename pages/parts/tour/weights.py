"""The third step of the tour: the weights of one layer as drawn, trained, and quantized."""

import streamlit as st

from core.inspect.weights.histogram import Distribution
from core.runs.run import INITIAL, MODEL, Run
from pages.parts.shared import shell
from pages.parts.shared.address import address_selectbox
from pages.parts.weights.cached import compare_files, weight_shapes

_NAMES = ["At the start", "Trained and pruned", "Quantized"]
_USUAL_LAYER = "classifier.0.weight"
_HEIGHT = 300  # pixels


def draw_weights(pruned: Run, quantized: Run) -> None:
    """Draw the choice of a layer, and how training and quantization changed its weights."""
    with shell.showing_errors():
        layers = list(weight_shapes(pruned))
        layer = address_selectbox(
            "Layer", "tour_layer", layers, _USUAL_LAYER, what="layer", address="layer", width=260
        )
        left, right = st.columns(2, gap="large")
        with left:
            st.markdown("**What the training did**")
            _draw_training(pruned, layer)
        with right:
            st.markdown("**What the quantization did**")
            comparison = compare_files(pruned.path / MODEL, quantized.path / MODEL, layer)
            _draw_distributions(_NAMES[1:], comparison.distributions, "quantization")


def _draw_training(pruned: Run, layer: str) -> None:
    """Draw the weights at the start and at the end of the training."""
    initial = pruned.path / INITIAL
    if not initial.exists():
        st.info(
            "This training kept no initial weights: it is of an older version.",
            icon=":material/hide_source:",
        )
        return
    comparison = compare_files(initial, pruned.path / MODEL, layer)
    _draw_distributions(_NAMES[:2], comparison.distributions, "training")


def _draw_distributions(
    names: list[str], distributions: tuple[Distribution | None, ...], key: str
) -> None:
    from core.charts.distributions import (  # imports altair
        distribution_alt_text,
        distribution_chart,
    )

    models = {
        name: model for name, model in zip(names, distributions, strict=True) if model is not None
    }
    st.altair_chart(
        distribution_chart(models, _NAMES, "Histogram", log=True, height=_HEIGHT),
        key=f"tour_weights_{key}",
        alt=distribution_alt_text(models, "Histogram of the weights"),
    )
