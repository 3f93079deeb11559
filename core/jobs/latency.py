"""Measures how fast a network runs in several forms, and says where one is no faster."""

import contextlib
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from core import data
from core.config import LatencyRecipe
from core.data import Dataset
from core.data.batches import DeviceImages
from core.data.imageset import subset_rows
from core.deploy.graph_layers import name_layers
from core.deploy.latency import measure_latency
from core.deploy.latency_report import (
    EAGER,
    SMALLER,
    VARIANTS,
    BatchReport,
    LatencyReport,
    describe_speed,
)
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.openvino_engine import has_openvino
from core.deploy.profile import OperatorTime
from core.deploy.smaller import without_dead_channels
from core.deploy.variants import (
    Call,
    compiled_call,
    eager_call,
    has_int8_products,
    onnx_call,
    openvino_call,
    profile_onnx,
    program_versions,
    require_compiler,
    torch_threads,
)
from core.errors import UserError
from core.events import Event, Finished, Note, Progress, Summary
from core.jobs.job import kept_figures, summarize
from core.jobs.parent_dataset import load_parent_dataset
from core.machine import describe_machine, physical_cores
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.training.device import choose_device, prepare_process
from core.training.evaluate import evaluate_with_progress
from core.training.held_back import images_at, split_of_card
from core.training.history import History
from core.training.setup import test_images

TIMED_FILE_IMAGES = 64
"""Images for an 8-bit file that is only timed. Its accuracy is not used."""

_MOST_OPERATORS = 10  # that the report keeps of a variant


class LatencyJob:
    """One run of a LatencyRecipe, on a saved network; see `core.jobs.job.Job`.

    It has no model as its result. An interrupted job begins anew.

    parent: the network. recorded: its test accuracy in [0, 1] as its run recorded it. int8: an ONNX
    file with 8-bit layers made from it, None to make one. int8_source: where that is from, in a
    sentence. int8_run: the id of its run.
    """

    def __init__(
        self,
        recipe: LatencyRecipe,
        parent: SavedModel,
        data_root: Path,
        recorded: float | None = None,
        int8: bytes | None = None,
        int8_source: str = "",
        int8_run: str = "",
    ):
        self.recipe = recipe
        self.parent = parent
        self.data_root = data_root
        self.device = choose_device(recipe.device)
        self.threads = recipe.threads or physical_cores()
        self._recorded = recorded
        self._int8 = int8
        self._int8_source = int8_source
        self._int8_run = int8_run
        self._report: LatencyReport | None = None

    def events(self) -> Generator[Event, None, None]:
        """Export, quantize if need be, and measure; ends with Finished."""
        card = self.parent.card
        if self.recipe.compiled:
            require_compiler()
        prepare_process()
        yield from data.prepare(card.dataset, self.data_root)
        dataset = load_parent_dataset(card, self.data_root)
        network = self.parent.network()
        yield Progress("Exporting to ONNX", 0, 0)
        smaller = without_dead_channels(network, card)
        exported = export_onnx(smaller.network, card)
        if self._int8 is None:
            yield Progress("Rounding to 8 bits", 0, 0)
            self._make_int8(exported, dataset)
        networks = {EAGER: network.to(memory_format=torch.channels_last)}
        if smaller.network is not network:
            networks[SMALLER] = smaller.network.to(memory_format=torch.channels_last)
        images = test_images(dataset, self.device)
        reports = []
        with torch_threads(self.threads):
            for batch in self.recipe.batch_sizes:
                report = yield from self._measure(networks, exported, batch, images)
                reports.append(report)
        self._report = self._full_report(reports, str(smaller))
        for sentence in describe_speed(self._report):
            yield Note(sentence, level="warning" if sentence.startswith("SLOWER") else "info")
        accuracy = self._recorded
        if accuracy is None:
            _, accuracy = yield from evaluate_with_progress(network, images, "Testing")
        yield Finished(self._summary(network, accuracy, len(images)))

    def checkpoint(self) -> dict[str, Any] | None:
        """Return None: times of another moment are not mixed with these."""
        return None

    def result(self) -> dict[str, dict[str, Tensor]]:
        """Return nothing: the network is the parent's."""
        return {}

    def card(self) -> ModelCard:
        """Return the parent's card."""
        return self.parent.card

    def files(self) -> dict[str, bytes]:
        """Return the report; empty before everything is measured."""
        if self._report is None:
            return {}
        return {"latency.json": self._report.model_dump_json(indent=1).encode()}

    def _measure(
        self, networks: dict[str, nn.Module], exported: bytes, batch: int, images: DeviceImages
    ) -> Generator[Event, None, BatchReport]:
        """Measure all variants at one batch size, and profile those of ONNX Runtime."""
        assert self._int8 is not None
        pixels = _batch_of(images, batch)
        files = {"onnx": exported, "int8": self._int8}
        latencies = yield from measure_latency(
            self._calls(networks, files, pixels),
            threads=self.threads,
            device=str(self.device),
            seconds=self.recipe.seconds,
            seed=self.recipe.seed,
            stage=f"Measuring batch {batch}",
        )
        yield Progress(f"Profiling batch {batch}", 0, 0)
        operators: dict[str, list[OperatorTime]] = {}
        for name, file in files.items():
            profiled = profile_onnx(file, pixels, self.threads)
            operators[name] = name_layers(profiled, exported)[:_MOST_OPERATORS]
        return BatchReport(batch=batch, latencies=latencies, operators=operators)

    def _calls(
        self, networks: dict[str, nn.Module], files: dict[str, bytes], pixels: NDArray[np.float32]
    ) -> dict[str, Call]:
        """Return the call of each variant, by its name in `VARIANTS` and in that order."""
        calls: dict[str, Call] = {
            name: eager_call(network, pixels) for name, network in networks.items()
        }
        if self.recipe.compiled:
            calls["compiled"] = compiled_call(networks[EAGER], pixels)
        for name, file in files.items():
            calls[name] = onnx_call(file, pixels, self.threads)
        if has_openvino():
            for name, source in (("openvino", "onnx"), ("openvino-int8", "int8")):
                with contextlib.suppress(UserError):  # it does not know every operator
                    calls[name] = openvino_call(files[source], pixels, self.threads)
        return {name: calls[name] for name in VARIANTS if name in calls}

    def _make_int8(self, exported: bytes, dataset: Dataset) -> None:
        """Round the layers to 8 bits, for a file that is only timed."""
        calibration = self._calibration_batch(dataset)
        self._int8 = quantize_int8(exported, [calibration])
        self._int8_source = (
            f"The 8-bit file was made for this measurement, with {len(calibration)} calibration"
            " images."
        )

    def _calibration_batch(self, dataset: Dataset) -> NDArray[np.float32]:
        """Return some of the images that the network was trained on, normalised."""
        rows = split_of_card(self.parent.card, dataset).training
        count = min(TIMED_FILE_IMAGES, len(rows))
        chosen = rows[subset_rows(dataset.train.labels[rows], count, self.recipe.seed)]
        return _batch_of(images_at(chosen, dataset, self.device), count)

    def _summary(self, network: nn.Module, accuracy: float, test_count: int) -> Summary:
        return summarize(
            self.card(),
            self.device,
            History(),
            **kept_figures(network),
            test_accuracy=accuracy,
            test_images=test_count,
        )

    def _full_report(self, reports: list[BatchReport], dead_channels: str) -> LatencyReport:
        return LatencyReport(
            model=self.parent.card.model,
            dataset=self.parent.card.dataset,
            int8_source=self._int8_source,
            int8_run=self._int8_run,
            processor=describe_machine().cpu,
            int8_products=has_int8_products(),
            versions=program_versions(),
            batches=reports,
            dead_channels=dead_channels,
        )


def _batch_of(images: DeviceImages, count: int) -> NDArray[np.float32]:
    """Return so many normalised images, (count, 3, side, side). Too few are repeated."""
    indices = torch.arange(count) % len(images)
    batch, _ = images.batch(indices)
    pixels: NDArray[np.float32] = np.ascontiguousarray(batch.numpy())
    return pixels
