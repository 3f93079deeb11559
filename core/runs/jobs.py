"""From a recipe to the work, and from the work to the files of its run."""

import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from core.compress import codec
from core.compress.codec import Packed
from core.config import TrainRecipe
from core.errors import UserError
from core.events import Event
from core.files import write_atomically
from core.models import saved
from core.models.saved import Facts, SavedModel
from core.runs import epochs
from core.runs.run import MODEL, PACKED, SOURCE, Run
from core.runs.store import RunStore
from core.training.importing import Importing
from core.training.loop import Training
from core.training.quantizing import Quantizing


class Job(Protocol):
    """What a recipe's work offers; the calls below `events` come between two events.

    checkpoint: all that is needed to continue from here, or None. result: tensors by the names of their files. facts:
    what their readers need to know. files: further artefacts by their names in the run's folder.
    """

    device: torch.device

    def events(self) -> Iterator[Event]: ...
    def checkpoint(self) -> dict | None: ...
    def result(self) -> dict[str, dict[str, Tensor]]: ...
    def facts(self) -> Facts: ...
    def files(self) -> dict[str, bytes]: ...


JOBS: dict[str, Callable[[Run, Path, dict | None], Job]] = {
    "train": lambda run, data, state: Training(run.recipe, data, state),
    "import": lambda run, data, state: Importing(run.recipe, run.path / SOURCE, data),
    "kmeans": lambda run, data, state: Quantizing(run.recipe, *_parent(run), data, state),
    "affine": lambda run, data, state: Quantizing(run.recipe, *_parent(run), data, state),
}


def begin(run: Run, data: Path) -> Job:
    """The job of the run's recipe, at its last checkpoint if there is one."""
    return JOBS[run.recipe.kind](run, data, _checkpoint(run.path / "checkpoint.pt"))


def _parent(run: Run) -> tuple[SavedModel, Packed | None]:
    """The result that the run starts from, and its codebooks and grids if it was quantized."""
    parent = RunStore(run.path.parent).get(run.config.parent)
    packed = parent.path / PACKED
    return saved.read(parent.path / MODEL), codec.load(packed) if packed.exists() else None


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


def keep_epoch(run: Run, job: Job, epoch: int) -> None:
    """Keep the weights at the end of `epoch` for those who look back, if the recipe wants this epoch's."""
    recipe = run.recipe
    if isinstance(recipe, TrainRecipe) and epochs.wanted(epoch, recipe.keep_every, recipe.epochs):
        content = saved.pack(job.result()["model"], job.facts())
        epochs.keep(run.path, epoch, content, recipe.keep_every, recipe.keep_mb * 10**6)


def save_result(run: Run, job: Job) -> None:
    """Write the job's tensors as safetensors files whose header says what they are, and its further files."""
    for name, tensors in job.result().items():
        write_atomically(run.path / f"{name}.safetensors", saved.pack(tensors, job.facts()))
    for name, content in job.files().items():
        write_atomically(run.path / name, content)


def drop_checkpoint(run: Run) -> None:
    """A finished run has nothing to continue."""
    (run.path / "checkpoint.pt").unlink(missing_ok=True)
