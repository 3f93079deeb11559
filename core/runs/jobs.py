"""From a recipe to the work, and from the work to the files of its run."""

import json
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import torch
from safetensors.torch import save
from torch import Tensor

from core.errors import UserError
from core.events import Event
from core.files import write_atomically
from core.runs.store import Run
from core.training.loop import Training


class Job(Protocol):
    """What a recipe's work offers; the calls below `events` come between two events."""

    device: torch.device

    def events(self) -> Iterator[Event]: ...
    def checkpoint(self) -> dict | None: ...
    def result(self) -> dict[str, dict[str, Tensor]]: ...
    def facts(self) -> dict: ...


JOBS = {"train": Training}


def begin(run: Run, data: Path) -> Job:
    """The job of the run's recipe, at its last checkpoint if there is one."""
    return JOBS[run.recipe.kind](run.recipe, data, _checkpoint(run.path / "checkpoint.pt"))


def _checkpoint(path: Path) -> dict | None:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        return None
    except (RuntimeError, EOFError, pickle.UnpicklingError, ValueError) as error:
        raise UserError(f"The checkpoint {path} is damaged: delete it, and resume to begin anew.") from error


def save_checkpoint(run: Run, job: Job) -> None:
    """Put the job's state where `begin` finds it; the one before stays until this one is whole."""
    if (state := job.checkpoint()) is not None:
        write_atomically(run.path / "checkpoint.pt", lambda file: torch.save(state, file))


def save_result(run: Run, job: Job) -> None:
    """Write the job's tensors as safetensors files whose header says what they are."""
    for name, tensors in job.result().items():
        content = save({key: tensor.contiguous().cpu() for key, tensor in tensors.items()},
                       {"secateur": json.dumps(job.facts())})
        write_atomically(run.path / f"{name}.safetensors", content)


def drop_checkpoint(run: Run) -> None:
    """A finished run has nothing to continue."""
    (run.path / "checkpoint.pt").unlink(missing_ok=True)
