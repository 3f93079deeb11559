"""The three runs of the tour. Their tokens are fixed, so opening the tour again finds them."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

from core.config import KMeansRecipe, TrainRecipe
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs import launch
from core.runs.run import Run
from core.runs.store import RunStore, run_id_of
from pages.parts.shared.presets import PRESETS

# A change of a recipe takes a new number, so that the tour starts runs of its own again.
_DENSE_TOKEN = "secateur tour 1 dense"
_PRUNED_TOKEN = "secateur tour 1 pruned"
_QUANTIZED_TOKEN = "secateur tour 1 quantized"

PRUNED_RECIPE: TrainRecipe = PRESETS["Quick"].recipe.model_copy(update={"epochs": 15})
DENSE_RECIPE: TrainRecipe = PRUNED_RECIPE.model_copy(update={"prune": None})
QUANTIZED_RECIPE = KMeansRecipe(clusters=5, epochs=2, batch_size=PRUNED_RECIPE.batch_size)


@dataclass(frozen=True)
class TourRuns:
    """The runs of the tour as they are now, None for one that does not exist."""

    dense: Run | None
    pruned: Run | None
    quantized: Run | None

    @property
    def trained(self) -> list[Run]:
        """The dense model and the pruned one, empty unless both are finished."""
        return _finished_models(self.dense, self.pruned)

    @property
    def models(self) -> list[Run]:
        """The dense model, the pruned and the quantized one, empty unless all are finished."""
        return _finished_models(self.dense, self.pruned, self.quantized)


def find_tour(store: RunStore) -> TourRuns:
    """Find the runs of the tour. One that cannot be read counts as missing."""
    return TourRuns(
        dense=_find(store, _DENSE_TOKEN),
        pruned=_find(store, _PRUNED_TOKEN),
        quantized=_find(store, _QUANTIZED_TOKEN),
    )


def start_trainings(store: RunStore, root: Path) -> None:
    """Start both trainings, unless they were started before.

    root: the folder of the data sets. Raises UserError if they cannot be started. It calls no
    Streamlit, because a second click can interrupt the script at every call.
    """
    trainings = (
        (DENSE_RECIPE, "Tour: dense", _DENSE_TOKEN),
        (PRUNED_RECIPE, "Tour: pruned", _PRUNED_TOKEN),
    )
    for recipe, name, token in trainings:
        check_recipe(recipe, root)
        launch.start(store.create(recipe, name, token=token), root)


def start_quantization(store: RunStore, pruned: Run, root: Path) -> None:
    """Start to quantize the pruned network, unless that was started before.

    Arguments and errors are those of `start_trainings`.
    """
    run = store.create(
        QUANTIZED_RECIPE, "Tour: quantized", parent=pruned.id, token=_QUANTIZED_TOKEN
    )
    launch.start(run, root)


def _find(store: RunStore, token: str) -> Run | None:
    with contextlib.suppress(UserError):
        return store.get(run_id_of(token))
    return None


def _finished_models(*runs: Run | None) -> list[Run]:
    models = [run for run in runs if run is not None and run.has_model]
    return models if len(models) == len(runs) else []
