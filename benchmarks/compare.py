"""Measures how long the Compare page takes with 200 runs, and how long reading these takes.

    python -m benchmarks.compare            # three cold and five warm runs of each view

Everything happens in one process, by Streamlit's AppTest. All modules are imported before. For a
cold run the process forgets what it has read; a warm one finds it again, as after a click.
"""

import argparse
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.report import Row, write_report
from core.config import AffineRecipe, KMeansRecipe, Prune, Recipe, TrainRecipe
from core.events import Pruned, Quantized, QuantizedLayer
from core.forecast.cost import layer_costs
from core.models import build_on_meta
from core.runs.run import PACKED, Run, write_status
from core.runs.store import RunStore
from tests.sample_runs import epoch_ends, summary_of

VIEWS = ("Scatter", "Map", "Curves", "Settings", "Layers")
TARGET_SECONDS = 1.0
ENTRY = Path(__file__).parents[1] / "streamlit_app.py"

_Seconds = tuple[float, float]
"""Seconds by the clock, and of the processor, which other processes do not lengthen as much."""

_EPOCHS = 70
_CHILDREN: tuple[Recipe, ...] = (KMeansRecipe(clusters=16), AffineRecipe(bits=4))


# -- the runs --


def fill_store(root: Path, count: int) -> RunStore:
    """Return a store of finished runs: of each three a training, its clusters and its bits."""
    store = RunStore(root)
    costs = layer_costs(build_on_meta("LeNet5", 10), 32)
    layers = {cost.name: cost.weights for cost in costs}
    for number in range(count):
        if number % 3 == 0:
            parent = _add_training(store, number, layers)
        else:
            _add_quantized(store, parent, _CHILDREN[number % 3 - 1], layers)
    for path in root.rglob("*"):
        _make_older(path)
    return store


def _add_training(store: RunStore, number: int, layers: dict[str, int]) -> Run:
    density = (number + 3) / 1000
    recipe = TrainRecipe(
        model="LeNet5", dataset="Digits", prune=Prune(density=density), seed=number
    )
    run = store.create(recipe, f"training {number}")
    accuracies = [0.9 - 0.8 / (epoch + 2) - number / 1e4 for epoch in range(_EPOCHS)]
    kept = {name: [round(density * weights) or 1, weights] for name, weights in layers.items()}
    events = [Pruned(sum(pair[0] for pair in kept.values()), sum(layers.values()), kept)]
    lines = [event.to_dict() for event in (*events, *epoch_ends(_EPOCHS, accuracies))]
    _finish(run, accuracies[-1], lines, accuracies)
    return store.get(run.id)


def _add_quantized(store: RunStore, parent: Run, recipe: Recipe, layers: dict[str, int]) -> None:
    run = store.create(recipe, parent=parent.id)
    figures: dict[str, QuantizedLayer] = {
        name: {
            "weights": weights,
            "levels": 16,
            "bits": 4,
            "bytes": weights // 2,
            "snr": 20.0,
            "pinned_zeros": 0,
        }
        for name, weights in layers.items()
    }
    _finish(run, (parent.status.test_accuracy or 0.9) - 0.01, [Quantized(figures).to_dict()])


def _finish(
    run: Run,
    accuracy: float,
    events: list[dict[str, object]],
    accuracies: list[float] | None = None,
) -> None:
    """Write down what a worker leaves: the events, the files of the result and the status."""
    lines = "".join(json.dumps(event) + "\n" for event in events)
    (run.path / "events.jsonl").write_text(lines)
    (run.path / "model.safetensors").write_bytes(b"x" * 1000)
    (run.path / PACKED).write_bytes(b"x" * (100 + int(1000 * accuracy)))
    summary = summary_of(run, test_accuracy=accuracy)
    changes = {"state": "finished", "test_accuracy": accuracy, "summary": summary}
    changes |= {"accuracies": accuracies or [], "kept": 1200, "prunable": 1200}
    write_status(run.path, run.status.model_copy(update=changes))


def _make_older(path: Path) -> None:
    """Date a file back. What has changed in the last seconds is always read again."""
    an_hour_ago = time.time() - 3600
    os.utime(path, (an_hour_ago, an_hour_ago))


# -- the measurements --


def forget() -> None:
    """Forget all that this process has read of runs."""
    import streamlit as st

    from core.runs import listing
    from pages.parts.compare import cached

    listing.forget_runs()
    cached.forget_compared()
    st.cache_data.clear()


def measure_reading(store: RunStore, repeats: int) -> Row:
    """Return the row of reading all runs and their events, and of preparing their figures."""
    from core.runs.comparison.compared import compared_runs
    from core.runs.event_lines import read_events

    def read() -> None:
        runs = store.list()
        compared_runs(runs, {run.id: run for run in runs})
        for run in runs:
            read_events(run.path / "events.jsonl")

    times: dict[str, list[_Seconds]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        forget()
        times["cold"].append(_seconds(read))
        times["warm"].append(_seconds(read))
    return _row("reading, without a page", times)


def measure_view(store: RunStore, view: str, repeats: int) -> Row:
    """Return the row of one view with all runs chosen."""
    from streamlit.testing.v1 import AppTest

    runs = ",".join(run.id for run in store.list())
    times: dict[str, list[_Seconds]] = {"cold": [], "warm": []}
    for _ in range(repeats):
        app = AppTest.from_file(str(ENTRY), default_timeout=600).run()
        app.switch_page("pages/compare.py")
        app.query_params["runs"] = runs
        app.query_params["view"] = view
        forget()
        times["cold"].append(_seconds(app.run))
        times["warm"] += [_seconds(app.run) for _ in range(2)]
        assert not app.exception
    return _row(view, times)


def _seconds(work: Callable[[], object]) -> _Seconds:
    began = time.perf_counter()
    processor_began = time.process_time()
    work()
    return time.perf_counter() - began, time.process_time() - processor_began


def _row(name: str, times: dict[str, list[_Seconds]]) -> Row:
    row: Row = {"view": name}
    for kind, pairs in times.items():
        clock, processor = (statistics.median(values) for values in zip(*pairs, strict=True))
        row |= {kind: round(clock, 3), f"{kind}, processor": round(processor, 3)}
    return row | {"target": TARGET_SECONDS}


def main() -> None:
    """Print the table and write results/compare.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--runs", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["SECATEUR_RUNS"] = folder
        store = fill_store(Path(folder), options.runs)
        for view in VIEWS:  # the imports
            measure_view(store, view, repeats=1)
        rows = [measure_reading(store, options.repeats)]
        rows += [measure_view(store, view, options.repeats) for view in VIEWS]
    notes = [
        f"Seconds, medians, with {options.runs} runs, all of them chosen. Cold: the process has the"
        f" modules and nothing else. Target: {TARGET_SECONDS:g} for both. Seconds of the processor"
        " are those of this process alone, which the clock shows on a machine that does nothing"
        " else.",
    ]
    write_report("compare", rows, notes)


if __name__ == "__main__":
    main()
