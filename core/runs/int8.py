"""Finds and makes the runs that turn other runs' networks into ONNX files of 8-bit integers."""

from core.config import Int8Recipe
from core.errors import UserError
from core.hashes import content_hash
from core.runs.run import INT8, MODEL, Run
from core.runs.store import RunStore


def request_int8(store: RunStore, parent: Run, recipe: Int8Recipe) -> Run:
    """Return the run that applies the recipe to the parent's network, and make it if need be.

    The same recipe on the same weights is one run. A finished run whose file is gone goes into the
    trash and is made again. Raises UserError as `RunStore.create` does.
    """
    run = _create(store, parent, recipe)
    if run.state != "finished" or (run.path / INT8).is_file():
        return run
    store.delete(run.id)
    return _create(store, parent, recipe)


def int8_runs(store: RunStore, parent: Run) -> list[Run]:
    """Return the runs that made, or make, such a file of the parent's network, the newest first."""
    return [
        run
        for run in store.list()
        if isinstance(run.recipe, Int8Recipe) and run.config.parent == parent.id
    ]


def newest_int8(store: RunStore, parent: Run) -> Run | None:
    """Return the newest finished run of them whose file is there, None if there is none."""
    made = (run for run in int8_runs(store, parent) if run.state == "finished")
    return next((run for run in made if (run.path / INT8).is_file()), None)


def _create(store: RunStore, parent: Run, recipe: Int8Recipe) -> Run:
    return store.create(recipe, parent=parent.id, token=_token(parent, recipe))


def _token(parent: Run, recipe: Int8Recipe) -> str:
    try:
        model_hash = content_hash(parent.path / MODEL)
    except OSError as error:
        raise UserError(
            f"“{parent.name}” has no weights in float to make integers of ({error.strerror})."
        ) from error
    return f"int8 {parent.id} {model_hash} {recipe.model_dump_json()}"
