"""The statistics above the weights' picture, those of B compared with those of A."""

import math
from collections.abc import Callable, Mapping

import streamlit as st

from core.inspect.weights.histogram import Distribution, WeightSummary
from pages.parts.shared.metrics import draw_metric
from pages.parts.shared.words import part, span
from pages.parts.weights.cached import levels_in_words, snr_by_layer
from pages.parts.weights.choice import WeightsChoice


def draw_weight_statistics(choice: WeightsChoice, models: Mapping[str, Distribution]) -> None:
    """Draw the statistics of the last of `models`, with those of A below if both are there."""
    summaries = [model.summary for model in models.values()]
    named_runs = zip(choice.names, choice.runs, strict=True)
    levels = [
        levels_in_words(run, choice.layer, models[name].summary)
        for name, run in named_runs
        if name in models
    ]
    with st.container(horizontal=True, key="figures"):
        _draw_statistic("Weights", _weights, summaries, f"Of {choice.layer_in_words}.")
        draw_metric(
            "Levels",
            levels[-1],
            f"A: {levels[0]}" if len(levels) == 2 else None,
            "The number of different values, and zero where some weights are exactly zero. A"
            " quantized layer is counted as in its packed file.",
        )
        _draw_statistic(
            "Zeros",
            _zeros,
            summaries,
            "The share of weights that are exactly 0, such as pruned ones. An arrow points to them"
            " in the picture; its bars and points leave them out.",
        )
        _draw_statistic("Range", _range, summaries, "The lowest and the highest weight.")
        if len(summaries) == 2:
            _draw_snr(choice)


def decibel_text(ratio: float | None) -> str:
    """Format a ratio in dB: a dash for None, and "lossless" for an infinite one."""
    if ratio is None:
        return "—"
    if ratio == math.inf:
        return "lossless"
    return f"{ratio:.1f} dB"


def _draw_statistic(
    label: str, form: Callable[[WeightSummary], str], summaries: list[WeightSummary], help_text: str
) -> None:
    note = f"A: {form(summaries[0])}" if len(summaries) == 2 else None
    draw_metric(label, form(summaries[-1]), note, help_text)


def _draw_snr(choice: WeightsChoice) -> None:
    assert choice.second is not None
    ratio = snr_by_layer(choice.first, choice.second).get(choice.layer)
    draw_metric(
        "SNR of B",
        decibel_text(ratio),
        "against A",
        "Signal-to-noise ratio: A's weights compared with their change in B. Six decibels are"
        " about one bit of precision.",
    )


def _weights(summary: WeightSummary) -> str:
    return f"{summary.count:,}"


def _zeros(summary: WeightSummary) -> str:
    return part(summary.zeros / summary.count)


def _range(summary: WeightSummary) -> str:
    return span(summary.low, summary.high)
