"""The figures of each layer of a run, from the events of the run and of its ancestors."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from core.runs.event_lines import Events


@dataclass(frozen=True)
class LayerFigures:
    """The figures of one layer. A figure that is not known is None.

    weights: number of weights. kept: number of them that pruning kept. levels: number of different
    values after quantization, without the zero of pruned weights. bytes: size in the packed file.
    snr: signal-to-noise ratio of the quantized weights in decibels.
    """

    weights: int
    kept: int
    levels: int | None = None
    bytes: int | None = None
    snr: float | None = None

    @property
    def density(self) -> float:
        """The fraction of the weights that is kept."""
        return self.kept / self.weights

    @property
    def bits(self) -> float | None:
        """Bits for each weight in the packed file, on average."""
        return None if self.bytes is None else 8 * self.bytes / self.weights


@dataclass(frozen=True)
class LayerMetric:
    """Facts about a figure of a layer. title: with its unit. number_format: of d3."""

    title: str
    number_format: str
    description: str


LAYER_METRICS = {
    "density": LayerMetric("Density", ".3~%", "Fraction of the layer's weights that pruning kept."),
    "bits": LayerMetric(
        "Bits a weight",
        ".2f",
        "Bits for each weight of the layer in the packed file, on average.",
    ),
    "levels": LayerMetric(
        "Levels",
        ",d",
        "Number of different values of the weights, without the zero of pruned ones.",
    ),
    "snr": LayerMetric(
        "SNR (dB)",
        ".1f",
        "Signal-to-noise ratio of the quantized weights. Six decibels are worth about one bit.",
    ),
    "bytes": LayerMetric("Bytes", ",d", "Size of the layer in the packed file."),
}
"""The metrics by the name of their field in `LayerFigures`."""


def layer_figures(events: Iterable[Mapping[str, Any]]) -> dict[str, LayerFigures]:
    """Return the figures of each layer by parameter name, after all events.

    events: those of the first ancestor, of the next one, and so on, and of the run. Of several
    quantizations of a layer the last one counts. A dense network has no such events before it is
    quantized.
    """
    layers: dict[str, LayerFigures] = {}
    for event in events:
        if event["event"] == "pruned":
            for name, (kept, weights) in event["layers"].items():
                layers[name] = LayerFigures(weights, kept)
        elif event["event"] == "quantized":
            for name, figures in event["layers"].items():
                layers[name] = _quantized(layers.get(name), figures)
    return layers


def _quantized(before: LayerFigures | None, figures: Mapping[str, Any]) -> LayerFigures:
    """Return a layer's figures after a quantization, which may have ended the pruning."""
    weights = figures["weights"]
    layer = before or LayerFigures(weights, kept=weights)
    if "pinned_zeros" in figures:
        layer = replace(layer, weights=weights, kept=weights - figures["pinned_zeros"])
    return replace(layer, levels=figures["levels"], bytes=figures["bytes"], snr=figures.get("snr"))


def events_of_layers(events: Events) -> Events:
    """Choose the events from which `layer_figures` reads."""
    return [event for event in events if event["event"] in ("pruned", "quantized")]
