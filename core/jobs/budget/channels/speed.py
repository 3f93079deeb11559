"""Measures how many times faster networks are without some of their channels, in ONNX Runtime."""

import hashlib
from collections.abc import Generator
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from core.deploy.latency import Latency, measure_latency
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.smaller import without_dead_channels
from core.deploy.variants import onnx_call
from core.events import Event, Note, Progress
from core.jobs.budget.channels.density import Speed
from core.machine import physical_cores
from core.models.card import ModelCard

_FLOAT = "float"
_LONGER = 4
"""How many times longer a speed is measured before a run goes by it."""

NormalisedImages = NDArray[np.float32]
"""Shape (N, 3, side, side)."""


class SpeedMeter:
    """Measures networks beside the parent, each shape of a network only once, or twice.

    The speed of a network follows from its shapes, so a tuned network has that of the one before.
    A run that continues repeats its search with the speeds of the checkpoint. So a speed counts as
    confirmed only from the moment on at which the search asks for that.
    """

    def __init__(
        self, parent: nn.Module, card: ModelCard, pixels: NormalisedImages, seconds: float
    ):
        """parent: in evaluation mode. seconds: of one measurement, about."""
        self._card = card
        self._pixels = pixels
        self._seconds = seconds
        self._parent = export_onnx(without_dead_channels(parent, card).network, card)
        self._speeds: dict[str, Speed] = {}
        self._longer: dict[str, Speed] = {}
        self._confirmed: set[str] = set()  # shapes
        self._last = ("", b"")  # the shapes and the ONNX file of the last network

    def measure(self, smaller: nn.Module) -> Generator[Event, None, Speed]:
        """Return the speed of a network without its removed channels."""
        key = shapes_key(smaller)
        if key not in self._speeds:
            self._speeds[key] = yield from self._compare(smaller, self._seconds)
        return self.known(key)

    def known(self, shapes: str) -> Speed:
        """Return a speed that was measured. shapes: the result of `shapes_key`."""
        return self._longer[shapes] if shapes in self._confirmed else self._speeds[shapes]

    def confirm(self, smaller: nn.Module) -> Generator[Event, None, Speed]:
        """Return the speed as it is measured anew and for longer, which replaces the one before.

        Of many speeds the one that just keeps a limit is likely to be a lucky one.
        """
        key = shapes_key(smaller)
        if key not in self._longer:
            self._longer[key] = yield from self._compare(smaller, _LONGER * self._seconds)
        self._confirmed.add(key)
        return self._longer[key]

    def _compare(self, smaller: nn.Module, seconds: float) -> Generator[Event, None, Speed]:
        exported = yield from self._export(smaller)
        files = {"before": self._parent, "after": exported}
        before, after = yield from _times(files, self._pixels, seconds)
        return Speed(before.median, after.median, after.speedup, after.low, after.high)

    def _export(self, smaller: nn.Module) -> Generator[Event, None, bytes]:
        """Return an ONNX file with these shapes: the last one again if it has them.

        An export takes seconds, and only the speed of the file is asked for.
        """
        key = shapes_key(smaller)
        if key != self._last[0]:
            yield Progress("Exporting to ONNX", 0, 0)
            self._last = key, export_onnx(smaller, self._card)
        return self._last[1]

    def compare_int8(
        self, smaller: nn.Module, calibration: NormalisedImages
    ) -> Generator[Event, None, Note | None]:
        """Return a note if 8-bit integers make a network faster still, None if they do not.

        calibration: normalised images, (N, 3, side, side).
        """
        exported = yield from self._export(smaller)
        yield Progress("Rounding to 8 bits", 0, 0)
        files = {_FLOAT: exported, "int8": quantize_int8(exported, [calibration])}
        before, after = yield from _times(files, self._pixels, self._seconds)
        if not after.is_faster:
            return None
        return Note(
            f"In 8-bit integers the same network was {after.speedup:.2f}x as fast again (95%"
            f" {after.low:.2f} to {after.high:.2f}), {before.median:.3g} ms -> {after.median:.3g}"
            " ms. The limit does not count on that, and its accuracy was not tested."
        )

    def checkpoint(self) -> dict[str, Any]:
        """Return all speeds as plain data."""
        return {
            "speeds": {key: asdict(speed) for key, speed in self._speeds.items()},
            "longer": {key: asdict(speed) for key, speed in self._longer.items()},
        }

    def restore(self, saved: dict[str, Any]) -> None:
        """Continue with the speeds that `checkpoint` returned."""
        self._speeds = {key: Speed(**speed) for key, speed in saved["speeds"].items()}
        self._longer = {key: Speed(**speed) for key, speed in saved["longer"].items()}


def shapes_key(network: nn.Module) -> str:
    """Return a key that two networks share if all their tensors have the same shapes."""
    shapes = [(name, tuple(tensor.shape)) for name, tensor in network.state_dict().items()]
    return hashlib.sha256(repr(shapes).encode()).hexdigest()[:16]


def _times(
    files: dict[str, bytes], pixels: NormalisedImages, seconds: float
) -> Generator[Event, None, tuple[Latency, Latency]]:
    """Time two ONNX files in turn, and return the figures of each in order."""
    threads = physical_cores()
    calls = {name: onnx_call(file, pixels, threads) for name, file in files.items()}
    measured = yield from measure_latency(
        calls, threads=threads, seconds=seconds, stage="Measuring the time of an image"
    )
    first, second = measured.variants.values()
    return first, second
