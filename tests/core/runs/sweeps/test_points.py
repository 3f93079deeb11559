"""The chart of a sweep: its axes, its points and its lines; and the time that is left."""

import pytest

from core.charts.sweep import summary_table, sweep_chart, sweep_table
from core.runs.comparison.settings import DENSITY, METHOD
from core.runs.run import write_status
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.points import Axes, axes_of, lines_of, points_of, seconds_left
from core.runs.sweeps.store import SweepStore
from tests.sample_runs import sample_run, summary_of

LISTS: Lists = {
    "model": ["LeNet5"],
    "dataset": ["Digits"],
    "prune.density": [1, 0.1],
    "prune.method": ["snip", "random"],
    "seed": [0, 1],
}


@pytest.fixture
def sweeps(store):
    return SweepStore(store)


def finish(sweeps, step, accuracy, seconds=10.0, trained=0.0):
    """Make the run of a step as a worker leaves it."""
    run = sweeps.runs.create(step.recipe, parent=step.parent, token=step.token)
    summary = summary_of(
        run, test_accuracy=accuracy, test_images=100, classes=10, train_seconds=trained
    )
    (run.path / "model.safetensors").write_bytes(b"weights")
    status = run.status.model_copy(
        update={"state": "finished", "summary": summary, "test_accuracy": accuracy}
    )
    write_status(run.path, status)
    written = sweeps.runs.get(run.id).status
    started = {"started_at": written.updated_at - seconds}
    write_status(run.path, written.model_copy(update=started))


@pytest.mark.parametrize(
    ("lists", "along", "lines"),
    [
        ({}, DENSITY, (METHOD,)),
        ({"prune.method": ["snip"]}, DENSITY, ()),
        ({"prune.density": [0.1]}, None, (METHOD,)),
        ({"lr": [0.1, 0.05]}, DENSITY, (METHOD, "train.lr")),
        ({"prune.density": [0.1], "prune.method": ["snip"], "lr": [0.1, 0.05]}, "train.lr", ()),
        ({"prune.density": [0.1], "prune.method": ["snip"]}, None, ()),
    ],
)
def test_axes(sweeps, lists, along, lines):
    axes = axes_of(sweeps.create(Grid({**LISTS, **lists}).chains()))
    assert axes.along == along
    assert set(axes.lines) == set(lines)


def test_axes_of_quantizations(sweeps, store):
    grid = Grid(None, {"clusters": [8, 5], "rounding": ["nearest", "compensated"]})
    sweep = sweeps.create(grid.chains(), parent=sample_run(store).id)
    assert axes_of(sweep) == Axes(
        "kmeans.clusters",
        ("kmeans.rounding",),
        span=(5, 8),
        line_values=(("nearest",), ("compensated",)),
    )


def test_mean_and_spread_by_hand(sweeps):
    sweep = sweeps.create(Grid(LISTS).chains())
    accuracies = {("snip", 0): 0.8, ("snip", 1): 0.6, ("random", 0): 0.1}
    for step in sweep.steps:
        prune = step.recipe.prune
        key = (prune.method if prune else None, step.recipe.seed)
        if prune is None:
            finish(sweeps, step, 0.9)
        elif key in accuracies:
            finish(sweeps, step, accuracies[key])
    sweep = sweeps.get(sweep.id)
    points = points_of(sweep)
    axes = axes_of(sweep)
    assert [point.accuracy for point in points] == [0.9, 0.8, 0.1, 0.9, 0.6]
    assert [point.is_guessing for point in points] == [False, False, True, False, False]
    dense = points[0]
    assert lines_of(dense, axes) == [("snip",), ("random",)]
    table = sweep_table(points, axes)
    assert len(table) == 2 * 2 + 3
    rows = summary_table(table).to_dict("records")
    summary = {(row["line"], row["along"]): row for row in rows}
    snip = summary["snip", 0.1]
    assert snip["mean"] == pytest.approx(0.7)
    assert (snip["low"], snip["high"], snip["runs"]) == (0.6, 0.8, 2)
    assert summary["random", 1.0]["mean"] == pytest.approx(0.9)
    chart = sweep_chart(points, axes, chance=0.1).to_dict()
    assert len(chart["layer"]) == 4
    assert chart["datasets"]["chance"] == [{"accuracy": 0.1}]


def test_a_chart_without_a_number_that_differs(sweeps):
    sweep = sweeps.create(Grid({**LISTS, "prune.density": [0.1]}).chains())
    for step in sweep.steps:
        finish(sweeps, step, 0.5)
    sweep = sweeps.get(sweep.id)
    chart = sweep_chart(points_of(sweep), axes_of(sweep)).to_dict()
    assert len(chart["layer"]) == 1
    assert chart["layer"][0]["encoding"]["x"]["field"] == "line"


def test_the_time_that_is_left(sweeps):
    sweep = sweeps.create(Grid(LISTS, {"clusters": [5]}).chains())
    assert seconds_left(sweep) is None
    steps = sweep.steps
    finish(sweeps, steps[0], 0.5, seconds=10)
    assert seconds_left(sweeps.get(sweep.id)) is None  # no quantization is finished yet
    finish(sweeps, steps[1], 0.5, seconds=4)
    # Six trainings and six quantizations, of which one each is finished.
    assert seconds_left(sweeps.get(sweep.id)) == pytest.approx(5 * 10 + 5 * 4, abs=0.5)


def test_a_resumed_run_counts_with_all_of_its_training(sweeps):
    sweep = sweeps.create(Grid({**LISTS, "prune.density": [0.1]}).chains())
    finish(sweeps, sweep.steps[0], 0.5, seconds=2, trained=60)
    assert seconds_left(sweeps.get(sweep.id)) == pytest.approx(3 * 60, abs=0.5)


def test_each_network_has_its_own_usual_time(sweeps):
    lists = {**LISTS, "prune.density": [0.1], "prune.method": ["snip"]}
    sweep = sweeps.create(Grid({**lists, "model": ["LeNet5", "ResNet20"]}).chains())
    for step in sweep.steps:
        if step.recipe.seed == 0:
            finish(sweeps, step, 0.5, seconds=5 if step.recipe.model == "LeNet5" else 500)
    assert seconds_left(sweeps.get(sweep.id)) == pytest.approx(505, abs=0.5)
