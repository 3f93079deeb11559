"""Run directories as a worker would have left them, made without one."""

import json

from core.config import Prune, TrainRecipe
from core.events import EpochEnd, Pruned
from core.runs.run import Run, write_status
from core.runs.store import RunStore

RECIPE = TrainRecipe(model="LeNet5", dataset="Digits", prune=Prune(density=0.1), epochs=4, batch_size=32)
LAYERS = {"features.0.weight": [100, 150], "classifier.0.weight": [20, 1050]}


def sample_run(store: RunStore, state: str = "finished", done: int = 4, recipe: TrainRecipe = RECIPE, **changes) -> Run:
    """A run in `state` after `done` epochs, whose test accuracies are 0.6, 0.7, ...; `changes` go into its status."""
    run = store.create(recipe, changes.pop("name", ""))
    accuracies = [0.6 + 0.1 * epoch for epoch in range(done)]
    pruned = getattr(recipe, "prune", None) is not None
    events = [Pruned(120, 1200, LAYERS)] if pruned else []
    events += [EpochEnd(epoch, recipe.epochs, 1 / epoch, accuracy - 0.05, 1.1 / epoch, accuracy, 0.1, 3000.0, 0.5, 0.6)
               for epoch, accuracy in enumerate(accuracies, 1)]
    (run.path / "events.jsonl").write_text("".join(json.dumps(event.to_dict()) + "\n" for event in events))
    (run.path / "log.txt").write_text("".join(f"{event}\n" for event in events))
    summary = {"kept": 120 if pruned else 1200, "prunable": 1200, "density": 0.1 if pruned else 1.0}
    if state == "finished":
        summary |= {"test_accuracy": accuracies[-1], "train_seconds": 125.0}
        (run.path / "model.safetensors").write_bytes(b"weights")
    write_status(run.path, run.status.model_copy(update={
        "state": state, "epoch": done, "epochs": recipe.epochs, "accuracies": accuracies, "device": "cpu",
        "test_accuracy": accuracies[-1] if done else None, "best_accuracy": max(accuracies, default=None),
        "summary": summary, **changes}))
    return store.get(run.id)
