"""Measures the options of each layer: bytes, and the damage while all other layers are in float."""

import copy
import math
import time
from collections.abc import Generator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from core.compress.affine import QuantizedWeight
from core.compress.compensation.inputs import layers_in_order, measure_inputs
from core.compress.compensation.moments import InputMoments
from core.compress.compensation.replay import Replay
from core.compress.compensation.walk import layer_of
from core.compress.packed.writer import coded_bytes
from core.events import Progress
from core.search.memory import MeasuredOption, Table
from core.search.options import LayerOption, LayerQuantizer
from core.training.evaluate import kl_divergence

_STAGE = "Measuring each layer"
_COLUMN_SECONDS = 2.5e-4
_PRODUCT_SECONDS = 3e-9


@dataclass(frozen=True, eq=False)
class MeasuringImages:
    """Normalised training images, in batches on the network's device.

    rounding: on which layers are rounded with compensation; empty for nearest rounding. judging: on
    which the answers are compared.
    """

    rounding: Sequence[Tensor]
    judging: Sequence[Tensor]


def measure_table(
    network: nn.Module,
    names: Sequence[str],
    options: Sequence[LayerOption],
    images: MeasuringImages,
    table: Table,
) -> Generator[Progress, None, None]:
    """Add the layers of these names to the table, those that are in it already stay.

    network: in float, in evaluation mode; it is not changed. A layer that the network does not call
    as a module, and one whose inputs are not finite, gets nearest rounding. Without images to round
    on, only the finest option of a layer is measured, and the others follow from it. Options that
    another one of the layer beats in both bytes and damage are left out. Yields Progress in layers.
    """
    probe = _Probe(network, names, images)
    for done, name in enumerate(probe.order):
        yield Progress(_STAGE, done, len(names), "layers")
        if name not in table:
            inputs = probe.inputs(name)
            measured = [] if images.rounding else probe.extrapolate(name, options)
            quantizer = LayerQuantizer(layer_of(network, name), name, inputs)
            for option in options if not measured else ():
                measured.append(probe.measure(name, option, quantizer.quantize(option)))
                yield Progress(_STAGE, done, len(names), "layers")
            table[name] = _best_options(measured)
        probe.finish(name)


def option_seconds(network: nn.Module, names: Sequence[str], option: LayerOption) -> float:
    """Measure about how long it takes to round and to code one option of every layer, in seconds.

    The layer in the middle is timed, and the others take longer or shorter by their usual times.
    Its inputs are made up, because the time does not depend on them.
    """
    weights = {name: network.get_parameter(name).detach() for name in names}
    usual = {name: _usual_seconds(weight) for name, weight in weights.items()}
    middle = sorted(usual, key=lambda name: usual[name])[len(usual) // 2]
    layer = layer_of(network, middle)
    groups = getattr(layer, "groups", 1)
    columns = weights[middle][0].numel()
    second_moments = torch.eye(columns, dtype=torch.float64).repeat(groups, 1, 1)
    rows = weights[middle].double().cpu().reshape(groups, -1, columns)
    inputs = InputMoments(second_moments, rows, float(rows.square().sum()), 1)
    began = time.perf_counter()
    coded_bytes(LayerQuantizer(layer, middle, inputs).quantize(option))
    seconds = time.perf_counter() - began
    return seconds * sum(usual.values()) / usual[middle]


def _usual_seconds(weight: Tensor) -> float:
    """Return about how long a weight takes to round on one core: its columns, and their products.

    Only the ratios of these times are used.
    """
    columns = weight[0].numel()
    return _COLUMN_SECONDS * columns + _PRODUCT_SECONDS * weight.numel() * columns


def mean_divergence_of(answers: Sequence[Tensor], reference: Sequence[Tensor]) -> float:
    """Return the mean KL divergence in nats of answers in batches; infinite if it is no number."""
    total = sum(
        float(kl_divergence(logits, others).sum())
        for logits, others in zip(answers, reference, strict=True)
    )
    mean = total / sum(len(logits) for logits in reference)
    return math.inf if math.isnan(mean) else max(0.0, mean)


class _Probe:
    """Changes one layer of a copy of the network at a time, from the first to the last.

    order: the layers, those that the network does not call first. What lies before the layer is
    computed once.
    """

    def __init__(self, network: nn.Module, names: Sequence[str], images: MeasuringImages):
        self._network = network
        self._images = images
        self._copy = copy.deepcopy(network)
        self._calls = layers_in_order(network, names, images.judging[0][:2])
        self.order = [*(name for name in names if name not in self._calls), *self._calls]
        self._replay = Replay(self._copy, [layer_of(self._copy, name) for name in self._calls])
        self._float_replay = Replay(network, [layer_of(network, name) for name in self._calls])
        with torch.no_grad():
            self._reference = [network(batch) for batch in images.judging]

    def inputs(self, name: str) -> InputMoments | None:
        """Return the moments of the layer's inputs in the float network."""
        batches = self._images.rounding
        if name not in self._calls or not batches:
            return None
        replays = [self._float_replay]
        inputs = measure_inputs(
            self._network, self._network, name, self._calls[name], batches, replays
        )
        self._float_replay.forget(batches[0])
        return inputs if inputs.is_finite else None

    def measure(self, name: str, option: LayerOption, item: QuantizedWeight) -> MeasuredOption:
        """Compare the answers with this layer quantized with those of the float network."""
        damage = self._damage(name, item.decode())
        return MeasuredOption(option, item, math.ceil(coded_bytes(item)), damage)

    @torch.no_grad()
    def extrapolate(self, name: str, options: Sequence[LayerOption]) -> list[MeasuredOption]:
        """Measure the finest option alone, and take the others' damage to grow as their errors.

        So it does for small errors. With nearest rounding, coarse options do far more damage than
        after compensated rounding, and would mislead the choice. Empty if the finest one has no
        squared error.
        """
        weight = self._network.get_parameter(name)
        items = {option: option.quantize(weight.detach(), name) for option in options}
        errors = {
            option: float((item.decode() - weight).square().sum()) for option, item in items.items()
        }
        finest = min(errors, key=lambda option: errors[option])
        if not errors[finest]:
            return []
        scale = self._damage(name, items[finest].decode()) / errors[finest]
        return [
            MeasuredOption(option, item, math.ceil(coded_bytes(item)), scale * errors[option])
            for option, item in items.items()
        ]

    @torch.no_grad()
    def _damage(self, name: str, changed: Tensor) -> float:
        weight = self._copy.get_parameter(name)
        weight.copy_(changed)
        answers = []
        for number, batch in enumerate(self._images.judging):
            with self._replay.batch(number):
                answers.append(self._copy(batch))
        weight.copy_(self._network.get_parameter(name))
        return mean_divergence_of(answers, self._reference)

    def finish(self, name: str) -> None:
        """Go on to the next layer."""
        if name not in self._calls:
            return
        self._replay.forget(self._images.judging[0])
        self._replay.fix(layer_of(self._copy, name))
        self._float_replay.fix(layer_of(self._network, name))


def _best_options(measured: Sequence[MeasuredOption]) -> list[MeasuredOption]:
    """Return the options by ascending bytes and falling damage, without those that are beaten."""
    best: list[MeasuredOption] = []
    for option in sorted(measured, key=lambda option: (option.bytes, option.damage)):
        if not best or option.damage < best[-1].damage:
            best.append(option)
    return best
