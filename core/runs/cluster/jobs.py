"""The jobs of a Ray cluster, over the REST API of its dashboard.

Source: "Ray Jobs REST API" in Ray's documentation. Ray's own client imports all of Ray, which takes
seconds, and waits without a limit. This one needs neither Ray nor patience.
"""

import http.client
import json
import os
import urllib.error
import urllib.request
from typing import Any, Literal
from urllib.parse import quote

from pydantic import BaseModel, ConfigDict, ValidationError

from core.errors import UserError

TIME_LIMIT = 10.0
"""Seconds that the cluster has for an answer."""

_OLDEST = (2, 49)
_TOO_NEW = (3, 0)

JobState = Literal["PENDING", "RUNNING", "STOPPED", "SUCCEEDED", "FAILED"]


class JobReport(BaseModel):
    """What Ray says of a job. error_type, driver_exit_code: None unless it failed in that way."""

    model_config = ConfigDict(frozen=True)

    status: JobState
    message: str | None = None
    error_type: str | None = None
    driver_exit_code: int | None = None

    @property
    def is_over(self) -> bool:
        return self.status in ("STOPPED", "SUCCEEDED", "FAILED")

    @property
    def never_began(self) -> bool:
        """Whether Ray gave up waiting for a free node, which it does after 15 minutes."""
        return self.error_type == "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"


class Jobs:
    """The jobs of the cluster at `address`. Every method raises UserError if it does not answer."""

    def __init__(self, address: str) -> None:
        self.address = address

    def check_version(self) -> None:
        """Raise UserError, one sentence, if the cluster runs another Ray than can be used."""
        answer = self._ask("GET", "/api/version")
        version = answer.get("ray_version") if isinstance(answer, dict) else None
        if not isinstance(version, str):
            raise self._no_answer("it is not Ray")
        problem = explain_version(version)
        if problem:
            raise UserError(f"The Ray cluster at {self.address} {problem}")

    def get(self, job_id: str) -> JobReport | None:
        """Return what Ray says of the job, None if it does not know it."""
        answer = self._ask("GET", f"/api/jobs/{quote(job_id)}", missing=True)
        if answer is None:
            return None
        try:
            return JobReport.model_validate(answer)
        except ValidationError:
            raise self._no_answer("its answer about a job makes no sense") from None

    def submit(
        self, job_id: str, command: str, gpus: int, cpus: int, variables: dict[str, str]
    ) -> None:
        """Send a job, which starts on the first node with free GPUs and CPUs.

        variables: of the environment in which the shell command runs.
        """
        body = {
            "submission_id": job_id,
            "entrypoint": command,
            "entrypoint_num_gpus": gpus,
            "entrypoint_num_cpus": cpus,
            "runtime_env": {"env_vars": variables},
        }
        self._ask("POST", "/api/jobs/", body)

    def stop(self, job_id: str) -> None:
        """Ask Ray to end the job. Its process has three seconds before it is killed."""
        self._ask("POST", f"/api/jobs/{quote(job_id)}/stop", missing=True)

    def nodes(self) -> list[dict[str, float]]:
        """Return what each node that is alive has in total, such as {"CPU": 8, "GPU": 1}."""
        answer = self._ask("GET", "/api/v0/nodes?limit=10000")
        try:
            nodes = answer["data"]["result"]["result"]
            return [dict(node["resources_total"]) for node in nodes if node["state"] == "ALIVE"]
        except (KeyError, TypeError, ValueError):
            raise self._no_answer("its answer about its nodes makes no sense") from None

    def _ask(self, method: str, path: str, body: Any = None, missing: bool = False) -> Any:
        """Return the answer; with `missing`, None if what is asked for is not there."""
        request = urllib.request.Request(
            self.address + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Content-Type": "application/json"} | _token(),
        )
        try:
            with urllib.request.urlopen(request, timeout=TIME_LIMIT) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            if missing and error.code == 404:
                return None
            raise self._no_answer(_explain_refusal(error)) from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise self._no_answer(str(getattr(reason, "strerror", None) or reason)) from None

    def _no_answer(self, reason: str) -> UserError:
        return UserError(
            f"The Ray cluster at {self.address} cannot be used ({reason}): start it, or correct"
            " RAY_ADDRESS."
        )


def explain_version(version: str) -> str | None:
    """Say why a cluster with this version of Ray cannot be used, None if it can be."""
    numbers = [int(number) for number in version.split(".")[:2] if number.isdecimal()]
    if _OLDEST <= tuple(numbers) < _TOO_NEW:
        return None
    return f"runs Ray {version[:40]}: it needs 2.49 or newer, below 3."


def _token() -> dict[str, str]:
    """Return the header for a cluster that asks for a token, as Ray's own client does."""
    token = os.environ.get("RAY_AUTH_TOKEN")
    return {"Authorization": f"Bearer {token}"} if token else {}


def _explain_refusal(error: urllib.error.HTTPError) -> str:
    if error.code in (401, 403):
        return "it asks for a token, which RAY_AUTH_TOKEN can hold"
    try:
        lines = error.read(100_000).decode(errors="replace").split("\n")
    except (OSError, http.client.HTTPException):
        lines = []
    # Ray answers with a traceback, whose last line names the error.
    last = next((line.strip() for line in reversed(lines) if len(line.strip()) > 2), "")
    return f"it answered {error.code} {last[:200]}".strip()
