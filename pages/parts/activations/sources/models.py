"""One to three finished models."""

from core.runs.run import MODEL, Run
from core.runs.store import RunStore
from pages.parts.activations.sources.network import NetworkSource, network_of_file
from pages.parts.shared.model_choice import choose_model, finished_models


def choose_finished_models(store: RunStore) -> NetworkSource | None:
    """Draw the choice of up to three models. Returns None if there is no model yet.

    At first B is the newest model and A the model that it was made from. If the newest model was
    not made from another one, it is A, and B is left open.
    """
    runs = finished_models(store)
    child, parent = _newest_with_parent(runs)
    first = choose_model("A", "a", store, default=parent)
    if first is None:
        return None
    chosen = [first]
    if len(runs) > 1:
        second = choose_model(
            "B, compared with A",
            "b",
            store,
            nothing="nothing",
            default=child,
            help="Another model, which gets the same picture. It is compared with A.",
        )
        if second is not None:
            chosen.append(second)
    if len(runs) > 2 and len(chosen) == 2:
        third = choose_model(
            "C, compared with A",
            "c",
            store,
            nothing="nothing",
            help="A third model, which gets the same picture. It is compared with A, too.",
        )
        if third is not None:
            chosen.append(third)
    return NetworkSource(
        first.dataset, lambda: [network_of_file(run.name, run.path / MODEL) for run in chosen]
    )


def _newest_with_parent(runs: dict[str, Run]) -> tuple[str | None, str | None]:
    """Return the ids of the newest model and of its parent, None for both without such a parent."""
    if not runs:
        return None, None
    newest = next(iter(runs.values()))
    parent = newest.config.parent
    if parent not in runs:
        return None, None
    return newest.id, parent
