"""Send a run to MLflow: only what its server does not have yet.

The server is asked what it has before anything is sent, so that sending can stop at any moment and
be repeated. A metric that the server has at a step stays as it is: MLflow cannot take one back.
"""

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import islice
from typing import TYPE_CHECKING, TypeVar

from core.errors import UserError
from core.runs.run import State
from core.runs.trackers.content import MetricPoint, RunContent
from core.runs.trackers.settings import Trackers

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run as TrackedRun

_Item = TypeVar("_Item")

# The limits of MLflow for one request and one value.
_MOST_METRICS = 1000
_MOST_PARAMS = 100
_LONGEST_PARAM = 6000
_LONGEST_TAG = 8000

_QUIET = {
    # Two tries of 30 seconds, where MLflow would make eight of two minutes.
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "30",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Settings of MLflow's client, where the environment has none."""

_STATUS: dict[State, str] = {
    "created": "SCHEDULED",
    "starting": "SCHEDULED",
    "queued": "SCHEDULED",
    "running": "RUNNING",
    "finished": "FINISHED",
    "failed": "FAILED",
    "cancelled": "KILLED",
    "interrupted": "KILLED",
}


class MlflowRun:
    """A run in MLflow, found by its tag `secateur.run`, or made.

    known_id: its id in MLflow, where that is remembered. parent_id: that of its parent's copy, ""
    if there is none. is_deleted: a person deleted it in MLflow; then send nothing. Raises errors of
    MLflow.
    """

    def __init__(
        self, trackers: Trackers, content: RunContent, known_id: str = "", parent_id: str = ""
    ) -> None:
        self._client = _client(trackers)
        self._parent = {"mlflow.parentRunId": parent_id} if parent_id else {}
        tracked = self._find(trackers, content, known_id)
        self.id: str = tracked.info.run_id
        self.link = _link(trackers.place, tracked.info.experiment_id, self.id)
        self.is_deleted: bool = tracked.info.lifecycle_stage == "deleted"
        self._status: str = tracked.info.status
        self._params = dict(tracked.data.params)
        self._tags = dict(tracked.data.tags)
        self._steps = {name: self._steps_of(name) for name in tracked.data.metrics}
        self._has_files = False

    def send(self, content: RunContent) -> None:
        """Send what MLflow does not have yet. Raises errors of MLflow."""
        self._send_params(content.params)
        self._send_tags({**content.tags, **self._parent, **_own_tags(content)})
        self._send_points(content.points)
        if content.files and not self._has_files:
            self._send_files(content)
        self._send_status(content)

    def _find(self, trackers: Trackers, content: RunContent, known_id: str) -> "TrackedRun":
        experiment = _experiment(self._client, trackers.experiment)
        tracked = self._remembered(known_id) or self._tagged(experiment, content.run.id)
        if tracked is None:
            created = int(content.run.config.created * 1000)
            tags = {"secateur.run": content.run.id}
            name = content.run.name
            return self._client.create_run(experiment, created, tags, name)
        return tracked

    def _remembered(self, known_id: str) -> "TrackedRun | None":
        from mlflow.exceptions import MlflowException

        if not known_id:
            return None
        try:
            return self._client.get_run(known_id)
        except MlflowException as error:
            if error.error_code == "RESOURCE_DOES_NOT_EXIST":  # the server began anew
                return None
            raise

    def _tagged(self, experiment: str, run_id: str) -> "TrackedRun | None":
        from mlflow.entities import ViewType

        wanted = f"tags.`secateur.run` = '{run_id}'"
        found = self._client.search_runs([experiment], wanted, ViewType.ALL, max_results=1)
        return found[0] if found else None

    def _steps_of(self, name: str) -> set[int]:
        return {metric.step for metric in self._client.get_metric_history(self.id, name)}

    def _send_params(self, params: Mapping[str, str]) -> None:
        """Send the settings that are missing. MLflow lets none change."""
        from mlflow.entities import Param

        missing = {name: text for name, text in params.items() if name not in self._params}
        for names in _batches(missing, _MOST_PARAMS):
            batch = [Param(name, _shortened(missing[name], _LONGEST_PARAM)) for name in names]
            self._client.log_batch(self.id, params=batch)
        self._params |= missing

    def _send_tags(self, tags: Mapping[str, str]) -> None:
        from mlflow.entities import RunTag

        changed = {
            name: text
            for name, text in tags.items()
            if text != self._tags.get(name, "")  # an empty tag is as good as none
        }
        if changed:
            batch = [RunTag(name, _shortened(text, _LONGEST_TAG)) for name, text in changed.items()]
            self._client.log_batch(self.id, tags=batch)
        self._tags |= changed

    def _send_points(self, points: Iterable[MetricPoint]) -> None:
        from mlflow.entities import Metric

        missing = [point for point in points if point.step not in self._steps.get(point.name, ())]
        for batch in _batches(missing, _MOST_METRICS):
            metrics = [
                Metric(point.name, point.value, int(point.time * 1000), point.step)
                for point in batch
            ]
            self._client.log_batch(self.id, metrics=metrics)
            for point in batch:
                self._steps.setdefault(point.name, set()).add(point.step)

    def _send_files(self, content: RunContent) -> None:
        """Send the files that are missing or have another size, and those that may change."""
        sizes = {item.path: item.file_size for item in self._client.list_artifacts(self.id)}
        for path in content.files:
            if path.suffix == ".json" or sizes.get(path.name) != path.stat().st_size:
                self._client.log_artifact(self.id, str(path))
        self._client.log_text(self.id, content.report, "report.txt")
        self._has_files = True

    def _send_status(self, content: RunContent) -> None:
        status = _STATUS[content.run.state]
        if status == self._status:
            return
        if content.run.active or content.run.state == "created":
            self._client.update_run(self.id, status=status)
        else:
            self._client.set_terminated(self.id, status, int(content.run.status.updated_at * 1000))
        self._status = status


def _client(trackers: Trackers) -> "MlflowClient":
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        from mlflow import MlflowClient
    except ImportError:
        raise UserError(
            "MLflow is not installed here: pip install -r requirements-trackers.txt"
        ) from None
    return MlflowClient(tracking_uri=trackers.mlflow)


def _experiment(client: "MlflowClient", name: str) -> str:
    """Return the id of the experiment, which is made if it is missing."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        try:
            return str(client.create_experiment(name))
        except MlflowException:  # another process has just made it
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    return str(found.experiment_id)


def _own_tags(content: RunContent) -> dict[str, str]:
    """Return the tags that MLflow itself reads."""
    note = {"mlflow.note.content": content.report} if content.report else {}
    return {"mlflow.runName": content.run.name, **note}


def _link(place: str, experiment: str, run_id: str) -> str:
    if not place.startswith(("http://", "https://")):
        return ""
    return f"{place.rstrip('/')}/#/experiments/{experiment}/runs/{run_id}"


def _shortened(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _batches(items: Iterable[_Item], size: int) -> Iterator[Sequence[_Item]]:
    rest = iter(items)
    while batch := list(islice(rest, size)):
        yield batch
