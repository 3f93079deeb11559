"""Reads from the environment which trackers runs are copied to."""

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

SWITCHES = "MLFLOW_TRACKING_URI or SECATEUR_TENSORBOARD"
"""The variables that switch the trackers on."""


@dataclass(frozen=True)
class Trackers:
    """The trackers that are switched on.

    mlflow: address of the MLflow server or store, "" for none. experiment: name of its experiment.
    tensorboard: folder of the event files, None for none.
    """

    mlflow: str
    experiment: str
    tensorboard: Path | None

    @property
    def is_any_on(self) -> bool:
        return bool(self.mlflow) or self.tensorboard is not None

    @property
    def place(self) -> str:
        """The address of MLflow without a user's name and password."""
        parts = urlsplit(self.mlflow)
        host = parts.netloc.rpartition("@")[2]
        # Putting an address such as sqlite:///a.db together again would change it.
        return self.mlflow if host == parts.netloc else urlunsplit(parts._replace(netloc=host))


def trackers_of_environment() -> Trackers:
    """Read MLFLOW_TRACKING_URI, MLFLOW_EXPERIMENT_NAME and SECATEUR_TENSORBOARD."""
    folder = os.environ.get("SECATEUR_TENSORBOARD")
    return Trackers(
        mlflow=os.environ.get("MLFLOW_TRACKING_URI", ""),
        experiment=os.environ.get("MLFLOW_EXPERIMENT_NAME") or "Secateur",
        tensorboard=Path(folder).expanduser().absolute() if folder else None,
    )
