"""Make run directories such as a worker leaves, without a worker."""

import json
import os
import time
from collections.abc import Iterator
from typing import Any

from core.config import Prune, Recipe, TrainRecipe
from core.events import EpochEnd, Event, Pruned, Summary
from core.models.card import ModelCard
from core.runs.run import Run, write_status
from core.runs.store import RunStore

RECIPE = TrainRecipe(
    model="LeNet5", dataset="Digits", prune=Prune(density=0.1), epochs=4, batch_size=32
)
DENSE = RECIPE.model_copy(update={"prune": None})
CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    side=32,
)
LAYERS = {"features.0.weight": [100, 150], "classifier.0.weight": [20, 1050]}


def sample_run(
    store: RunStore,
    state: str = "finished",
    done: int = 4,
    recipe: Recipe = RECIPE,
    **changes: Any,
) -> Run:
    """Make a run in `state` after `done` epochs, whose test accuracies are 0.6, 0.7, ...

    `changes` go into its status.
    """
    run = store.create(recipe, changes.pop("name", ""))
    is_pruned = getattr(recipe, "prune", None) is not None
    accuracies = [0.6 + 0.1 * epoch for epoch in range(done)]
    events: list[Event] = [Pruned(120, 1200, LAYERS)] if is_pruned else []
    events += epoch_ends(recipe.epochs, accuracies)
    (run.path / "events.jsonl").write_text(
        "".join(json.dumps(event.to_dict()) + "\n" for event in events)
    )
    (run.path / "log.txt").write_text("".join(f"{event}\n" for event in events))
    kept = 120 if is_pruned else 1200
    summary = None
    if state == "finished":
        summary = summary_of(run, kept=kept, test_accuracy=accuracies[-1])
        (run.path / "model.safetensors").write_bytes(b"weights")
    status = {
        "state": state,
        "epoch": done,
        "epochs": recipe.epochs,
        "accuracies": accuracies,
        "device": "cpu",
        "test_accuracy": accuracies[-1] if done else None,
        "best_accuracy": max(accuracies, default=None),
        "kept": kept,
        "prunable": 1200,
        "summary": summary,
    }
    write_status(run.path, run.status.model_copy(update=status | changes))
    return store.get(run.id)


def summary_of(run: Run, **changes: Any) -> Summary:
    """Return the summary of a finished run with 1200 weights; `changes` replace figures."""
    figures: dict[str, Any] = {
        "model": run.model,
        "dataset": run.dataset,
        "density": run.density,
        "kept": 1200,
        "prunable": 1200,
        "epochs": run.recipe.epochs,
        "test_accuracy": 0.9,
        "best_accuracy": 0.9,
        "train_seconds": 125.0,
        "images_per_second": 3000.0,
        "device": "cpu",
    }
    return Summary.model_validate(figures | changes)


def epoch_ends(epochs: int, accuracies: list[float]) -> Iterator[EpochEnd]:
    """Yield the ends of the first epochs, with these test accuracies."""
    for epoch, accuracy in enumerate(accuracies, 1):
        yield EpochEnd(
            epoch=epoch,
            epochs=epochs,
            train_loss=1 / epoch,
            train_accuracy=accuracy - 0.05,
            test_loss=1.1 / epoch,
            test_accuracy=accuracy,
            lr=0.1,
            images_per_second=3000.0,
            train_seconds=0.5,
            seconds=0.6,
        )


def make_older(run: Run) -> Run:
    """Date a run back, beyond the time in which a list always reads it again."""
    an_hour_ago = time.time() - 3600
    for path in (*run.path.iterdir(), run.path):
        os.utime(path, (an_hour_ago, an_hour_ago))
    return run
