"""Write the metrics of a run as event files that TensorBoard shows."""

from pathlib import Path

from core.runs.archive.exporting import archive_name
from core.runs.trackers.content import MetricPoint, RunContent

_SUFFIX = ".secateur"


class TensorBoardFiles:
    """The event file of one run, in a folder of its own in `root`.

    Files of earlier processes are replaced, so that no point is there twice.
    """

    def __init__(self, root: Path, content: RunContent) -> None:
        self.folder = root / archive_name(content.run).removesuffix(".zip")
        self._written: tuple[MetricPoint, ...] = ()
        self._begin_anew()

    def send(self, content: RunContent) -> None:
        """Write the points that are new. If earlier ones have changed, write all of them anew."""
        known = len(self._written)
        if content.points[:known] != self._written:
            self.close()
            self._begin_anew()
            known = 0
        for point in content.points[known:]:
            self._write(point)
        self._written = content.points
        self._writer.flush()

    def close(self) -> None:
        self._writer.close()

    def _begin_anew(self) -> None:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter

        for old in self.folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            old.unlink()
        self._writer = EventFileWriter(str(self.folder), filename_suffix=_SUFFIX)

    def _write(self, point: MetricPoint) -> None:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary

        value = Summary.Value(tag=point.name, simple_value=point.value)
        summary = Summary(value=[value])
        self._writer.add_event(Event(wall_time=point.time, step=point.step, summary=summary))
