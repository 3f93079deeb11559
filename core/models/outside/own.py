"""A network in a file of the person who runs the app.

The file is checked once in a child process with limits. An endless loop or an `exit()` in it then
costs the child, and not the server.
"""

import threading
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from core.errors import UserError
from core.events import Event, Progress, result_of
from core.models.info import ModelInfo
from core.models.outside.files import NetworkFile
from core.sandbox import Limits, run_limited

if TYPE_CHECKING:
    from torch import nn

SECONDS: float = 120
"""The most seconds that the child may need for loading PyTorch, and then for the network."""

_MEGABYTES = 8_000.0

_checking = threading.Lock()
_reports: dict[tuple[str, int | None], dict[str, Any]] = {}
"""What the child found, by the file's path and SHA-256 and the side of the images."""


@dataclass(frozen=True)
class OwnNetwork:
    """The network in one version of a file; see `core.models.outside.network.OutsideNetwork`."""

    file: NetworkFile

    def info(self, field: str = "model") -> ModelInfo:
        """Return the facts about it, after checking the file if that has not been done."""
        return ModelInfo(**_report_on(self.file, None))

    def check_side(self, side: int) -> None:
        """Check the file's SIDE, without running the file."""
        if self.file.side not in (None, side):
            raise UserError(
                f"{self.file.name} takes images of exactly {self.file.side} x {self.file.side}"
                f" pixels, got {side} x {side}"
            )

    def check(self, side: int) -> None:
        """Check the file in a child process, with images of `side` x `side` pixels."""
        if self.info().side != side:
            _report_on(self.file, side)

    def build(self, classes: int) -> "nn.Module":
        """Run the file, and build the network."""
        from core.models.outside.load import build_network

        return build_network(self.file, classes)

    def build_on_meta(self, classes: int) -> "nn.Module":
        """Run the file, and build the network on torch's meta device."""
        from core.models.outside.measure import build_bare

        return build_bare(self.file, classes)


def _report_on(file: NetworkFile, side: int | None) -> dict[str, Any]:
    """Return the ModelInfo of a checked file as plain data. Raises UserError for its problem.

    side: height and width of the images in pixels; if not given, the file's SIDE, or 32.
    """
    key = (f"{file.path} {file.sha256}", side)
    with _checking:
        report = _reports.get(key) or _check_in_child(file, side)
        # Another problem is not kept: a package that is missing may be installed meanwhile.
        if "problem" not in report or report.get("lasts"):
            _reports[key] = report
    if "problem" in report:
        raise UserError(report["problem"])
    return report


def _check_in_child(file: NetworkFile, side: int | None) -> dict[str, Any]:
    arguments = {
        "path": str(file.path),
        "source": file.source.decode("latin-1"),  # any byte becomes one character of JSON
        "side": side,
    }
    events = run_limited(report_file, arguments, Limits(SECONDS, _MEGABYTES), file.path.name)
    try:
        report: dict[str, Any] = result_of(events)
    except UserError:
        return {
            "problem": (
                f"{file.path} ends or crashes the process that checks it, or takes more than"
                f" {SECONDS:.0f} seconds or {_MEGABYTES:,.0f} MB: look for endless loops."
            ),
            "lasts": True,
        }
    return report


def report_file(path: str, source: str, side: int | None) -> Generator[Event, None, dict[str, Any]]:
    """Return the facts about the network in a file, or its problem. Runs in the child."""
    yield Progress("Loading PyTorch", 0, 0)
    from core.models.outside.measure import measure  # imports torch

    yield Progress("Checking the network", 0, 0)  # the time begins anew
    try:
        return measure(NetworkFile(Path(path), source.encode("latin-1")), side)
    except UserError as error:
        cause = error.__cause__
        is_no_python = isinstance(cause, SyntaxError) and cause.filename == path
        return {"problem": str(error), "lasts": is_no_python}
