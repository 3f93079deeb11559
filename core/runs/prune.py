"""Checks what a pruning needs of its parent, and finds the early weights that it rewinds to.

These are those of the run that trained the network: of the parent, or of the nearest ancestor that
was trained. So a network can be pruned and rewound several times, one run after the other.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from core.config import PruneRecipe, TrainRecipe
from core.errors import UserError
from core.jobs.check import check_density_left
from core.models.saved import read_model
from core.runs.epochs import epoch_file, kept_epochs
from core.runs.run import INITIAL, Run
from core.runs.store import RunStore

if TYPE_CHECKING:
    from torch import Tensor


def check_parent(recipe: PruneRecipe, parent: Run, names: Mapping[str, str] | None = None) -> None:
    """Raise UserError if the recipe cannot prune the network of this run.

    names: the words for "density" and "rewind" in the error.
    """
    names = names or {}
    summary = parent.status.summary
    before = 1.0 if summary is None else summary.density
    check_density_left(recipe.density, before, names.get("density", "density"))
    check_rewind(parent, recipe.rewind, names.get("rewind", "rewind"))


def epochs_to_rewind_to(parent: Run) -> list[int]:
    """Return the epochs whose weights are kept, ascending; 0 are the initial weights.

    Empty if no ancestor was trained here, or if it kept none.
    """
    trained = _trained_ancestor(parent)
    if trained is None:
        return []
    start = [0] if (trained.path / INITIAL).exists() else []
    return start + kept_epochs(trained.path)


def check_rewind(parent: Run, epoch: int | None, name: str = "rewind") -> None:
    """Raise UserError, beginning with `name`, if the weights of this epoch are not kept."""
    if epoch is None:
        return
    epochs = epochs_to_rewind_to(parent)
    if not epochs:
        raise UserError(
            f"{name} takes a network that was trained here with its epochs kept, and"
            f" “{parent.name}” has none"
        )
    if epoch not in epochs:
        raise UserError(f"{name} must be one of the kept epochs {_listed(epochs)}, got {epoch}")


def read_early_weights(parent: Run, epoch: int | None) -> "dict[str, Tensor] | None":
    """Return the state dict after this epoch of the training; None if `epoch` is None.

    Raises UserError as `check_rewind` does, and for a damaged file.
    """
    check_rewind(parent, epoch)
    trained = _trained_ancestor(parent)
    if epoch is None or trained is None:
        return None
    file = epoch_file(trained.path, epoch) if epoch else trained.path / INITIAL
    return read_model(file).state


def _trained_ancestor(run: Run) -> Run | None:
    """Return the run itself or its nearest ancestor that trained a network, None if none did."""
    lineage = RunStore(run.path.parent).lineage(run.id)
    trained = [ancestor for ancestor in lineage if isinstance(ancestor.recipe, TrainRecipe)]
    return trained[-1] if trained else None


def _listed(epochs: list[int]) -> str:
    if len(epochs) > 10:
        return f"from {epochs[0]} to {epochs[-1]} (not all of them)"
    return ", ".join(str(epoch) for epoch in epochs)
