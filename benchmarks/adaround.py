"""Compares compensated rounding with AdaRound on the same layers, images and grid.

    python -m benchmarks.adaround --runs-dir RUNS RUN

RUN is a trained or imported network. Both methods round one layer after the other. Both minimise
the same output error, from the same second moments of the layer's inputs in the network that is
quantized so far. So they differ in how they search only.

Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization" (arXiv:2004.10568),
section 3.3, eq. 21 to 24. beta falls along half a cosine wave, as in the authors' code.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.report import Row, write_report
from core import data
from core.compress.affine import Affine, QuantizedWeight
from core.compress.compensation.inputs import layers_in_order, measure_inputs
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.output_error import OutputError
from core.compress.quantization.layers import chosen_layers, quantize_layer
from core.compress.quantization.qparams import QParams, integer_range
from core.compress.rounding.layer import RIDGE, RoundedLayer, _kept_weights, round_layer
from core.compress.rounding.levels import GridLevels
from core.config import AffineRecipe, data_root
from core.jobs.compression_images import CompressionImages
from core.models.saved import read_model
from core.runs.run import MODEL
from core.runs.store import RunStore
from core.training import setup
from core.training.evaluate import evaluate, mean_divergence
from core.training.held_back import split_for_compression

# The paper's symbols: the stretched sigmoid reaches from gamma to zeta.
ZETA = 1.1
GAMMA = -0.1
BETAS = (20.0, 2.0)  # at the first and the last step with the regulariser
WARM_UP = 0.2  # share of the steps without it
LAMBDA = 0.01
LEARNING_RATE = 1e-2

RoundLayer = Callable[[nn.Module, QuantizedWeight, InputMoments], RoundedLayer]


@dataclass(frozen=True, eq=False)
class Rounding:
    """A network's rounded weights by parameter name, and what they took.

    seconds: all of it, on the processor. measuring: the part that measured the layers' inputs.
    errors_left: the layers' output errors as a share of those of nearest rounding, both with the
    inputs of this network.
    """

    items: Mapping[str, QuantizedWeight]
    seconds: float
    measuring: float
    errors_left: float


def adaround(error: OutputError, levels: GridLevels, steps: int) -> Tensor:
    """Choose for each weight whether to round down or up (AdaRound). Returns (G, R, n) float64.

    A weight that is outside the grid keeps the nearest end of it, as in eq. 22. The gradient is
    written out, because autograd takes longer. Numbers are float32, which takes half the time.
    """
    shape = error.weight.shape
    scale = levels.scale.view(shape[0], shape[1], 1)
    zero_point = levels.zero_point.view(shape[0], shape[1], 1)
    lower = (error.weight / scale).floor()
    is_free = (lower + zero_point >= levels.lowest) & (lower + zero_point < levels.highest)
    if error.kept is not None:
        is_free &= error.kept
    fraction = error.weight / scale - lower
    lower = (lower + zero_point).clamp(levels.lowest, levels.highest) - zero_point
    if error.kept is not None:
        lower = lower.masked_fill(~error.kept, 0.0)
    lower *= scale
    step = scale * is_free
    logits = _relax(error, lower, step, fraction, steps)
    return lower + step * (logits >= 0)


def _relax(error: OutputError, lower: Tensor, step: Tensor, fraction: Tensor, steps: int) -> Tensor:
    """Optimise V, whose sign says whether to round down or up, with Adam; (G, R, n).

    The weight is lower + step * h(V), and h(V) begins at `fraction`. The objective is the mean
    squared error of an output value.
    """
    groups, rows, _ = error.weight.shape
    quadratic = error.quadratic.float() * (2 / (groups * rows))
    linear = error.linear.float() * (2 / (groups * rows))
    lower = lower.float()
    step = step.float()
    logits = torch.logit((fraction.float() - GAMMA) / (ZETA - GAMMA))
    optimizer = torch.optim.Adam([logits], LEARNING_RATE, fused=True)
    for number in range(steps):
        sigmoid = logits.sigmoid()
        stretched = sigmoid * (ZETA - GAMMA) + GAMMA
        chosen = stretched.clamp(0, 1)
        slope = ((lower + step * chosen) @ quadratic - linear) * step
        beta = _beta(number, steps)
        if beta is not None:
            centred = 2 * chosen - 1
            power = centred.abs().pow_(beta - 1).copysign_(centred)
            slope.sub_(power, alpha=2 * LAMBDA * beta)
        slope *= sigmoid * (1 - sigmoid) * (ZETA - GAMMA)
        logits.grad = slope.masked_fill_(chosen != stretched, 0.0)
        optimizer.step()
    return logits


def _beta(number: int, steps: int) -> float | None:
    """The power of the regulariser in this step, None where there is none yet."""
    progress = (number / steps - WARM_UP) / (1 - WARM_UP)
    if progress < 0:
        return None
    first, last = BETAS
    return last + (first - last) * (1 + math.cos(math.pi * progress)) / 2


def adaround_layer(
    layer: nn.Module, nearest: QuantizedWeight, inputs: InputMoments, steps: int
) -> RoundedLayer:
    """Do what `round_layer` does, with AdaRound."""
    assert isinstance(nearest, Affine)
    weight = layer.weight
    assert isinstance(weight, Tensor)
    grouped = inputs.grouped(weight)
    error = inputs.objective(grouped, RIDGE, _kept_weights(grouped, nearest))
    lowest, highest = integer_range(nearest.bits, nearest.symmetric)
    qparams = QParams(nearest.scale, nearest.zero_point, nearest.axis, lowest, highest)
    levels = GridLevels.of(qparams, grouped.shape[0] * grouped.shape[1])
    by_row = adaround(error, levels, steps).view(len(levels.scale), -1)
    integers = (by_row / levels.scale[:, None]).round() + levels.zero_point[:, None]
    values = integers.to(nearest.values.dtype).view(nearest.values.shape)
    item = replace(nearest, values=values)
    nearest_error = inputs.error_share(inputs.grouped(nearest.decode()))
    item_error = inputs.error_share(inputs.grouped(item.decode()))
    if item_error > nearest_error:
        return RoundedLayer(nearest, nearest_error, nearest_error)
    return RoundedLayer(item, nearest_error, item_error)


def round_in_order(
    network: nn.Module,
    nearest: Mapping[str, QuantizedWeight],
    batches: Sequence[Tensor],
    round_one: RoundLayer,
) -> Rounding:
    """Round as `round_network` does, but each layer with `round_one`."""
    began = time.process_time()
    measuring = 0.0
    quantized = copy.deepcopy(network)
    layers: dict[str, RoundedLayer] = {}
    for name, calls in layers_in_order(quantized, nearest, batches[0][:2]).items():
        measuring -= time.process_time()
        inputs = measure_inputs(quantized, network, name, calls, batches)
        measuring += time.process_time()
        layer = network.get_submodule(name.rpartition(".")[0])
        layers[name] = round_one(layer, nearest[name], inputs)
        _set_weights_(quantized, {name: layers[name].item})
    seconds = time.process_time() - began
    left = sum(layer.error for layer in layers.values())
    nearest_errors = sum(layer.nearest_error for layer in layers.values())
    items = {name: layer.item for name, layer in layers.items()}
    return Rounding(items, seconds, measuring, left / nearest_errors)


@torch.no_grad()
def _set_weights_(network: nn.Module, items: Mapping[str, QuantizedWeight]) -> None:
    for name, item in items.items():
        network.get_parameter(name).copy_(item.decode())


class Comparison:
    """A network, the images that it is rounded on, and those that judge the result."""

    def __init__(self, path: Path, data_dir: Path, images: int) -> None:
        """path: the saved model. images: how many to round on."""
        saved = read_model(path)
        self.card = saved.card
        self.network = saved.network()
        dataset = setup.with_normalisation_of(self.card, data.load(self.card.dataset, data_dir))
        recipe = AffineRecipe(round_images=images)
        split = split_for_compression(self.card, recipe, dataset)
        source = CompressionImages(recipe, self.card, dataset, split, torch.device("cpu"))
        self.batches = source.learning_batches()
        self.choosing = source.choosing()
        self.test = source.test

    def rows(self, bits: int, steps: Sequence[int]) -> list[Row]:
        """Return the rows of one number of bits. steps: those of AdaRound, for each layer."""
        recipe = AffineRecipe(bits=bits, range="mse")
        nearest: dict[str, QuantizedWeight] = {}
        began = time.process_time()
        for name in chosen_layers(self.card, recipe):
            item = quantize_layer(self.network.get_parameter(name).detach(), name, recipe)
            assert item is not None
            nearest[name] = item
        rows = [self._row(bits, "nearest", Rounding(nearest, time.process_time() - began, 0.0, 1))]
        methods: dict[str, RoundLayer] = {"compensated": round_layer}
        for count in steps:
            methods[f"AdaRound, {count:,} steps"] = partial(adaround_layer, steps=count)
        for title, round_one in methods.items():
            rounding = round_in_order(self.network, nearest, self.batches, round_one)
            rows.append(self._row(bits, title, rounding))
        return rows

    def _row(self, bits: int, title: str, rounding: Rounding) -> Row:
        quantized = copy.deepcopy(self.network)
        _set_weights_(quantized, rounding.items)
        row = {
            "bits": bits,
            "rounding": title,
            "CPU s": round(rounding.seconds, 1),
            "without measuring inputs CPU s": round(rounding.seconds - rounding.measuring, 1),
            "output errors left %": round(100 * rounding.errors_left, 1),
            "KL divergence": round(mean_divergence(quantized, self.network, self.choosing), 4),
            "test accuracy %": round(100 * evaluate(quantized, self.test)[1], 2),
        }
        print(json.dumps(row), file=sys.stderr, flush=True)
        return row


def main() -> None:
    """Print the table and write results/adaround.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--bits", type=int, nargs="+", default=[2, 3, 4])
    parser.add_argument("--steps", type=int, nargs="*", default=[1_000, 5_000])
    parser.add_argument("--images", type=int, default=1_024, help="to round on [1024]")
    parser.add_argument("--runs-dir", required=True)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    path = RunStore(options.runs_dir).get(options.run).path / MODEL
    comparison = Comparison(path, data_root(options.data_dir), options.images)
    rows = [row for bits in options.bits for row in comparison.rows(bits, options.steps)]
    card = comparison.card
    note = (
        f"{card.model} on {card.dataset}, rounded on {options.images:,} images; threads:"
        f" {torch.get_num_threads()}; seconds are those of the processor. Every channel has a grid"
        " of its own, range mse. No row is tuned or has BatchNorm re-estimated. The output errors"
        " left are a share of those of nearest rounding with the same inputs. The KL divergence"
        f" from the float network is the mean of {len(comparison.choosing):,} other training"
        " images, in nats."
    )
    write_report("adaround", rows, [note])


if __name__ == "__main__":
    main()
