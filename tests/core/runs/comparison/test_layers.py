"""The figures of layers, from the events of a run and of its ancestors."""

from core.events import Pruned, Quantized
from core.runs.comparison.layers import LAYER_METRICS, LayerFigures, events_of_layers, layer_figures

PRUNED = Pruned(30, 200, {"a.weight": [20, 100], "b.weight": [10, 100]}).to_dict()


def quantized(**layers):
    return Quantized({f"{name}.weight": layer for name, layer in layers.items()}).to_dict()


def layer(**changes):
    return {"weights": 100, "levels": 5, "bits": 3, "bytes": 25, "snr": 12.0} | changes


def test_pruning_says_what_is_kept():
    layers = layer_figures([PRUNED])
    assert layers == {"a.weight": LayerFigures(100, 20), "b.weight": LayerFigures(100, 10)}
    assert layers["a.weight"].density == 0.2
    assert layers["a.weight"].bits is None


def test_the_last_quantization_counts():
    events = [PRUNED, quantized(a=layer()), quantized(a=layer(bytes=50, levels=8, snr=None))]
    layers = layer_figures(events)
    assert layers["a.weight"] == LayerFigures(100, 20, levels=8, bytes=50, snr=None)
    assert layers["a.weight"].bits == 4.0
    assert layers["b.weight"].levels is None


def test_zeros_that_stay_zero_are_the_pruned_ones():
    assert layer_figures([quantized(a=layer(pinned_zeros=70))])["a.weight"].kept == 30
    unpruned = layer_figures([PRUNED, quantized(a=layer(pinned_zeros=0))])
    assert unpruned["a.weight"].density == 1.0  # clustered with zero as any other value
    assert layer_figures([quantized(a=layer())])["a.weight"].density == 1.0


def test_other_events_are_left_out():
    events = [PRUNED, {"event": "note", "text": "hello"}]
    assert events_of_layers(events) == [PRUNED]
    assert layer_figures(events) == layer_figures([PRUNED])


def test_every_metric_is_a_figure():
    figures = LayerFigures(100, 20, levels=8, bytes=50, snr=1.0)
    assert all(getattr(figures, name) is not None for name in LAYER_METRICS)
