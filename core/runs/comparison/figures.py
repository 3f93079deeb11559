"""The figures by which runs are compared: accuracy, size, work and time, each with its metric."""

from collections.abc import Mapping
from dataclasses import dataclass

from core import data
from core.accuracy import wilson_interval
from core.runs.run import INT8, MODEL, OLD_PACKED, PACKED, Run


@dataclass(frozen=True)
class Metric:
    """Facts about a figure, for axes, tables and choices.

    title: its name with its unit, for an axis. label: its name alone. number_format: of d3, for a
    tooltip. axis_format: of d3, for an axis. is_log: whether its axis is logarithmic unless a
    person says otherwise. more_is_better: the direction in which a network improves. description:
    one or two sentences for a help text.
    """

    title: str
    label: str
    number_format: str
    axis_format: str
    is_log: bool
    more_is_better: bool
    description: str


_LATENCY_FORM = (
    "Measured here by `python -m core latency RUN`: integer kernels for a file in 8-bit integers,"
    " and the fastest form in float for any other network, whose quantized weights are floats while"
    " it runs."
)

METRICS = {
    "accuracy": Metric(
        title="Test accuracy",
        label="Test accuracy",
        number_format=".2%",
        axis_format="~%",
        is_log=False,
        more_is_better=True,
        description="Share of the test images that the network gets right.",
    ),
    "bytes": Metric(
        title="Size on disk (bytes)",
        label="Size on disk",
        number_format=",d",
        axis_format="~s",
        is_log=True,
        more_is_better=False,
        description=(
            "Size of the packed file, or else of the weights in float. Of 8-bit integers: size of"
            " the ONNX file."
        ),
    ),
    "kept": Metric(
        title="Kept weights",
        label="Kept weights",
        number_format=",d",
        axis_format="~s",
        is_log=True,
        more_is_better=False,
        description="Number of prunable weights that are kept.",
    ),
    "density": Metric(
        title="Density (kept share of the weights)",
        label="Density",
        number_format=".3~%",
        axis_format="~%",
        is_log=True,
        more_is_better=False,
        description="Fraction of the prunable weights that is kept.",
    ),
    "macs": Metric(
        title="Multiply-adds that remain for one image",
        label="Multiply-adds that remain",
        number_format=",d",
        axis_format="~s",
        is_log=True,
        more_is_better=False,
        description=(
            "Multiply-adds for one image, on a machine that skips every weight that is zero."
            " Ordinary hardware does not skip them."
        ),
    ),
    "bits": Metric(
        title="Bits a weight (packed file, all prunable weights)",
        label="Bits a weight",
        number_format=".3~f",
        axis_format="~g",
        is_log=True,
        more_is_better=False,
        description=(
            "Bits of the packed file, divided by the number of all prunable weights. It counts"
            " the whole file, also what is not quantized."
        ),
    ),
    "seconds": Metric(
        title="Training time of the run (seconds)",
        label="Training time",
        number_format=",.1f",
        axis_format="~g",
        is_log=True,
        more_is_better=False,
        description=(
            "Time of the training steps of this run alone: training, or tuning of a quantized"
            " network. The time of its parent is not in it."
        ),
    ),
    "latency_ms": Metric(
        title="Time for one image (ms)",
        label="Time for one image",
        number_format=",.2f",
        axis_format="~r",
        is_log=True,
        more_is_better=False,
        description=f"Median time for a batch of 1. {_LATENCY_FORM}",
    ),
    "latency_32_ms": Metric(
        title="Time for a batch of 32 images (ms)",
        label="Time for 32 images",
        number_format=",.2f",
        axis_format="~r",
        is_log=True,
        more_is_better=False,
        description=f"Median time for a batch of 32. {_LATENCY_FORM}",
    ),
}
"""The metrics by the name of their field in `Figures`."""


@dataclass(frozen=True)
class Figures:
    """The figures of one run. A figure that is not known, or not known yet, is None.

    accuracy: test accuracy in [0, 1]. bytes: as in `bytes_on_disk`. kept: number of kept prunable
    weights. density: fraction of them, in (0, 1]. macs: multiply-adds that remain for one image.
    bits: bits of the packed file for each prunable weight. seconds: time of the training steps.
    latency_ms, latency_32_ms: median milliseconds for a batch of 1 and of 32 images. test_images,
    classes: what the accuracy was measured on.
    """

    accuracy: float | None = None
    bytes: float | None = None
    kept: float | None = None
    density: float | None = None
    macs: float | None = None
    bits: float | None = None
    seconds: float | None = None
    latency_ms: float | None = None
    latency_32_ms: float | None = None
    test_images: int | None = None
    classes: int | None = None

    def value(self, name: str) -> float | None:
        """Return the figure of a metric in `METRICS`."""
        value: float | None = getattr(self, name)
        return value

    @property
    def interval(self) -> tuple[float, float] | None:
        """The 95% interval of the accuracy; None if it is not known."""
        if self.accuracy is None or not self.test_images:
            return None
        return wilson_interval(self.accuracy, self.test_images)


def figures_of(
    run: Run,
    macs: float | None = None,
    infos: Mapping[str, data.DatasetInfo] = data.DATASETS,
    latencies: Mapping[int, float] | None = None,
) -> Figures:
    """Return the figures that the run has so far.

    macs: passed on. infos: as in `test_counts`. latencies: milliseconds by the batch size.
    """
    latencies = latencies or {}
    status = run.status
    summary = status.summary
    packed = _packed_bytes(run)
    test_images, classes = test_counts(run, infos) or (None, None)
    return Figures(
        accuracy=status.test_accuracy,
        bytes=bytes_on_disk(run),
        kept=status.kept,
        density=kept_share(run),
        macs=macs,
        bits=8 * packed / status.prunable if packed and status.prunable else None,
        seconds=None if summary is None else summary.train_seconds or None,
        latency_ms=latencies.get(1),
        latency_32_ms=latencies.get(32),
        test_images=test_images,
        classes=classes,
    )


def kept_share(run: Run) -> float:
    """Return the density of the result, or else the one that was asked for."""
    return run.density if run.status.summary is None else run.status.summary.density


def bytes_on_disk(run: Run) -> int | None:
    """Return the size of the packed file, or else of the weights, or of the ONNX file in integers.

    None if there is none of them.
    """
    sizes = (run.file_bytes(name) for name in (PACKED, OLD_PACKED, MODEL, INT8))
    return next((size for size in sizes if size is not None), None)


def _packed_bytes(run: Run) -> int | None:
    for name in (PACKED, OLD_PACKED):
        size = run.file_bytes(name)
        if size is not None:
            return size
    return None if run.status.summary is None else run.status.summary.packed_bytes


def test_counts(run: Run, infos: Mapping[str, data.DatasetInfo]) -> tuple[int, int] | None:
    """Return the numbers of test images and of classes, None if they are not known.

    They are in the summary. For a run that has none yet, or an old one, the data set knows them.
    infos: the data sets by name.
    """
    summary = run.status.summary
    if summary is not None and summary.test_images and summary.classes:
        return summary.test_images, summary.classes
    info = infos.get(run.dataset)
    return None if info is None else (info.test_images, info.classes)
