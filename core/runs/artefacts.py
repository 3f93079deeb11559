"""Save a job's checkpoint and result in the folder of its run, and load the checkpoint again."""

from typing import Any

import torch

from core.config import TrainRecipe
from core.errors import CheckpointError
from core.hashes import require_intact, write_with_hash
from core.jobs.job import Job
from core.jobs.train import TrainJob
from core.models import saved
from core.runs import epochs
from core.runs.integrity import CHECKPOINT
from core.runs.run import INITIAL, Run


def load_checkpoint(run: Run) -> dict[str, Any] | None:
    """Load the last checkpoint, or None if there is none.

    Raises CheckpointError for a damaged file.
    """
    path = run.path / CHECKPOINT
    if not path.exists():
        return None
    try:
        require_intact(path)
        checkpoint: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        checkpoint["history"]  # every job keeps one
        return checkpoint
    except OSError:
        raise
    # torch.load raises errors of many kinds for a damaged file.
    except Exception as error:
        raise CheckpointError from error


def save_checkpoint(run: Run, job: Job) -> None:
    """Save the job's state. The checkpoint before stays until the new one is complete."""
    state = job.checkpoint()
    if state is not None:
        write_with_hash(run.path / CHECKPOINT, lambda file: torch.save(state, file))


def delete_checkpoint(run: Run) -> None:
    """Delete the checkpoint, which a finished run no longer needs."""
    (run.path / CHECKPOINT).unlink(missing_ok=True)


def save_initial(run: Run, job: Job) -> None:
    """Save the weights that a training starts from, as drawn, at the event that offers them.

    A file that is there stays: a run that was killed before its first checkpoint draws the same.
    """
    path = run.path / INITIAL
    initial = job.initial() if isinstance(job, TrainJob) else {}
    if initial and not path.exists():
        write_with_hash(path, saved.model_bytes(initial, job.card()))


def save_epoch(run: Run, job: Job, epoch: int) -> None:
    """Save the weights at the end of `epoch` for the Activations page, if the recipe keeps it."""
    recipe = run.recipe
    if not isinstance(recipe, TrainRecipe):
        return
    if epochs.is_epoch_kept(epoch, recipe.keep_every, recipe.epochs):
        content = saved.model_bytes(job.result()["model"], job.card())
        epochs.write_epoch(run.path, epoch, content, recipe.keep_every, recipe.keep_mb * 10**6)


def save_result(run: Run, job: Job) -> None:
    """Save the job's tensors as safetensors files with its card, and its further files."""
    for name, tensors in job.result().items():
        write_with_hash(run.path / f"{name}.safetensors", saved.model_bytes(tensors, job.card()))
    for name, content in job.files().items():
        write_with_hash(run.path / name, content)
