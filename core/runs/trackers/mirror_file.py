"""The file mirror.json of a run: where its copy in a tracker is, and why the last try failed."""

from pathlib import Path

from pydantic import BaseModel, ConfigDict, ValidationError

from core.files import write_atomically
from core.runs.run import to_json

MIRROR = "mirror.json"

MIRROR_LOCK = "mirror.lock"
"""Held by the one process that copies the run."""


class Mirror(BaseModel):
    """Where the copy of a run is.

    place: address of the MLflow server, without a password. mlflow_run: id of the run in MLflow, ""
    if there is none yet. link: address of its page, "" if the server has no pages. left_alone: it
    was deleted in MLflow, so nothing more is sent. error: why the last try failed, as sentences;
    "" if it succeeded.
    """

    model_config = ConfigDict(frozen=True)

    place: str = ""
    mlflow_run: str = ""
    link: str = ""
    left_alone: bool = False
    error: str = ""


LEFT_ALONE = "Its copy in MLflow was deleted there, and is left alone."


def read_mirror(folder: Path) -> Mirror:
    """Read what is known of the copy of the run in `folder`; an empty one if there is nothing."""
    try:
        return Mirror.model_validate_json((folder / MIRROR).read_bytes())
    except (OSError, ValidationError):
        return Mirror()


def write_mirror(folder: Path, mirror: Mirror) -> None:
    """Write mirror.json if it says something else. Raises OSError, also for a deleted run."""
    if mirror != read_mirror(folder):
        write_atomically(folder / MIRROR, to_json(mirror), lasting=False)
