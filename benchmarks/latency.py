"""Measures how fast networks run in PyTorch, in ONNX Runtime and in 8-bit integers, on the CPU.

    python -m benchmarks.latency ResNet20=resnet20.th ResNet56=resnet56.th VGG16 ResNet34
    python -m benchmarks.latency VGG16 --threads 2 --batch 32 --seconds 60 --compile
    python -m benchmarks.latency ResNet20=resnet20.th@runs/0123456789

A network without a file has random weights: its speed is the same, and its accuracy says nothing.
After @ comes the folder of a run with pruned channels, such as one of channel-magnitude: its
network is measured in the same rounds, physically smaller, and with its own accuracy.
All forms of a network run in turn in this process, so that noise hits all of them alike. On a
machine that is much too busy for that, --clock processor counts the time that the threads compute,
without the time that they wait for a core. Ctrl-C ends it with the networks that are done.
"""

import argparse
import contextlib
import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from benchmarks.report import Row, write_report
from core import data, models
from core.checkpoints.reader import match_recipe, read_checkpoint
from core.config import ImportRecipe, data_root
from core.data.batches import DeviceImages
from core.deploy.latency import Latencies, measure_latency
from core.deploy.latency_report import VARIANTS
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.onnx.testing import Engine, evaluate_engine
from core.deploy.openvino_engine import OpenVinoEngine, has_openvino
from core.deploy.smaller import without_dead_channels
from core.deploy.variants import (
    Call,
    compiled_call,
    eager_call,
    has_int8_products,
    torch_threads,
)
from core.events import result_of
from core.models.card import ModelCard
from core.models.saved import read_model
from core.runs.run import MODEL
from core.training.device import prepare_process
from core.training.evaluate import evaluate

# The normalisation that the checkpoints were trained with.
MEAN = (0.485, 0.456, 0.406)
STD = (0.229, 0.224, 0.225)
CALIBRATION = 512  # training images

# How many times as fast as eager PyTorch 8 bits should be, at a batch of 32 on two threads.
AIMS = {"VGG16": 1.8, "ResNet34": 2.2, "ResNet20": 2.3, "ResNet56": 2.3}


PRUNED = "pruned "  # what the names of the forms with pruned channels begin with

_Value = TypeVar("_Value")

Clock = Callable[[], float]
CLOCKS: dict[str, Clock] = {"wall": time.perf_counter, "processor": time.process_time}


class Forms:
    """One network as PyTorch, ONNX Runtime and OpenVINO run it, in float and in 8-bit integers.

    network: in evaluation mode. card: of the network; test images are normalised as it says.
    """

    def __init__(self, network: nn.Module, card: ModelCard, folder: Path):
        dataset = data.load(card.dataset, folder)
        self.test = DeviceImages(dataset.test, card.mean, card.std, "cpu", torch.channels_last)
        train = DeviceImages(dataset.train, card.mean, card.std, "cpu")
        starts = range(0, CALIBRATION, 64)
        calibration = (train.batch(slice(start, start + 64))[0].numpy() for start in starts)
        self.exported = export_onnx(network, card)
        self.int8 = quantize_int8(self.exported, calibration)
        self.network = network.to(memory_format=torch.channels_last)

    def accuracies(self, threads: int) -> dict[str, float]:
        """Return the test accuracy of each form in percent, by its own program."""
        _, eager = evaluate(self.network, self.test)
        accuracies = {"eager": eager, "compiled": eager}
        for name, engine in self._engines(threads).items():
            _, accuracies[name] = result_of(evaluate_engine(engine, self.test, name))
        return {name: round(100 * accuracy, 2) for name, accuracy in accuracies.items()}

    def calls(self, batch: int, threads: int, compiled: bool) -> dict[str, Call]:
        """Return the call of each form on a batch of test images."""
        images: NDArray[np.float32] = self.test.batch(slice(0, batch))[0].contiguous().numpy()
        calls: dict[str, Call] = {"eager": eager_call(self.network, images)}
        if compiled:
            calls["compiled"] = compiled_call(self.network, images)
        for name, engine in self._engines(threads).items():
            calls[name] = partial(engine.run, images)
        return calls

    def _engines(self, threads: int) -> dict[str, Engine]:
        engines: dict[str, Engine] = {
            "onnx": OnnxEngine(self.exported, threads),
            "int8": OnnxEngine(self.int8, threads),
        }
        if has_openvino():
            engines["openvino"] = OpenVinoEngine(self.exported, threads=threads)
            engines["openvino-int8"] = OpenVinoEngine(self.int8, threads=threads)
        return engines


class Subject:
    """A network, and perhaps the same with fewer channels, in all their forms.

    run: the folder of a run whose network has pruned channels; they leave it first.
    """

    def __init__(self, name: str, checkpoint: Path | None, run: Path | None, folder: Path):
        self.name = name
        self.is_trained = checkpoint is not None
        classes = data.load("CIFAR10", folder).classes
        card = ModelCard(
            model=name, dataset="CIFAR10", classes=classes, mean=MEAN, std=STD, side=32
        )
        self.whole = Forms(_network(card, checkpoint), card, folder)
        self.pruned = None if run is None else _pruned_forms(run, folder)

    def accuracies(self, threads: int) -> dict[str, float]:
        """Return the test accuracy of each form in percent. Random weights have none."""
        accuracies = self.whole.accuracies(threads) if self.is_trained else {}
        if self.pruned is not None:
            accuracies |= _prefixed(self.pruned.accuracies(threads))
        return accuracies

    def measure(
        self, batch: int, threads: int, seconds: float, compiled: bool, clock: Clock
    ) -> Latencies:
        """Return the times of all forms for a batch."""
        calls = self.whole.calls(batch, threads, compiled)
        if self.pruned is not None:
            calls |= _prefixed(self.pruned.calls(batch, threads, compiled))
        return result_of(measure_latency(calls, threads=threads, seconds=seconds, clock=clock))


def _prefixed(values: Mapping[str, _Value]) -> dict[str, _Value]:
    return {PRUNED + name: value for name, value in values.items()}


def _pruned_forms(run: Path, folder: Path) -> Forms:
    """Return the forms of a run's network without its dead channels. Says what left it."""
    source = read_model(run / MODEL)
    smaller = without_dead_channels(source.network(), source.card)
    print(smaller, file=sys.stderr, flush=True)
    return Forms(smaller.network, source.card, folder)


def _form_text(name: str) -> str:
    """Return a form in words, such as "ONNX Runtime, int8, pruned channels"."""
    text = VARIANTS[name.removeprefix(PRUNED)]
    return f"{text}, pruned channels" if name.startswith(PRUNED) else text


def _network(card: ModelCard, checkpoint: Path | None) -> nn.Module:
    classes = len(card.classes)
    if checkpoint is None:
        torch.manual_seed(0)
        return models.build(card.model, classes).eval()
    recipe = ImportRecipe(
        file=checkpoint.name, model=card.model, dataset=card.dataset, mean=MEAN, std=STD
    )
    weights = read_checkpoint(checkpoint)
    return match_recipe(weights, recipe, classes).network(weights.state).eval()


def measure_subject(subject: Subject, options: argparse.Namespace) -> Iterator[Row]:
    """Yield a row for each form of a network at each batch size."""
    with torch_threads(options.threads):
        accuracies = subject.accuracies(options.threads) if options.accuracy else {}
        clock = CLOCKS[options.clock]
        for batch in options.batch:
            latencies = subject.measure(
                batch, options.threads, options.seconds, options.compile, clock
            )
            for name, latency in latencies.variants.items():
                aim = AIMS.get(subject.name) if (name, batch) == ("int8", 32) else None
                yield {
                    "network": subject.name,
                    "form": _form_text(name),
                    "batch": batch,
                    "threads": options.threads,
                    "clock": options.clock,
                    "median ms": round(latency.median, 2),
                    "spread ms": round(latency.spread, 2),
                    "p95 ms": round(latency.p95, 2),
                    "best ms": round(latency.best, 2),
                    "times as fast": round(latency.speedup, 2),
                    "low": round(latency.low, 2),
                    "high": round(latency.high, 2),
                    "aim": aim,
                    "rounds": latencies.rounds,
                    "test accuracy %": accuracies.get(name),
                }


def main() -> None:
    """Print the table and write results/latency.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("networks", nargs="+", metavar="NETWORK[=FILE][@RUN]")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--seconds", type=float, default=30.0)
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--clock", choices=list(CLOCKS), default="wall")
    parser.add_argument("--accuracy", action=argparse.BooleanOptionalAction, default=True)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    prepare_process()
    rows: list[Row] = []
    with contextlib.suppress(KeyboardInterrupt):
        for word in options.networks:
            subject = _parse_subject(word, data_root(options.data_dir))
            for row in measure_subject(subject, options):
                print(json.dumps(row), file=sys.stderr, flush=True)
                rows.append(row)
    write_report("latency", rows, list(_notes()))


def _parse_subject(word: str, folder: Path) -> Subject:
    """Make the subject of NETWORK, NETWORK=FILE, NETWORK@RUN or NETWORK=FILE@RUN."""
    network, _, run = word.partition("@")
    name, _, file = network.partition("=")
    return Subject(name, Path(file) if file else None, Path(run) if run else None, folder)


def _notes() -> Iterator[str]:
    yield (
        "Times as fast: eager PyTorch's time divided by the form's, in the median round, with its"
        " 95% interval. Best: the fastest call, when nothing else disturbed it."
    )
    if has_int8_products() is False:
        yield (
            "This processor has no instruction for sums of 8-bit products (VNNI), with which 8 bits"
            " gain more."
        )
    yield (
        "The clock: wall is the time that passes; processor adds up the time that all threads"
        " compute, so that it is up to as many times as long as there are threads."
    )


if __name__ == "__main__":
    main()
