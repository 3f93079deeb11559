"""The networks of a sweep that were fitted into budgets, and the best within each limit."""

import pytest

from core.charts.fitted_networks import fitted_chart, fitted_table
from core.config.budget import NOTHING_FITS
from core.runs.run import write_status
from core.runs.sweeps.budgets.best import best_within
from core.runs.sweeps.budgets.fitted import fitted_lines, fitted_networks
from core.runs.sweeps.grid import Grid, Lists
from core.runs.sweeps.points import axes_of, points_of, seconds_left, without_budgets
from core.runs.sweeps.store import SweepStore
from tests.core.runs.sweeps.test_points import finish
from tests.sample_runs import sample_run, summary_of

LISTS: Lists = {"model": ["LeNet5"], "dataset": ["Digits"], "prune.density": [1, 0.5, 0.25]}


@pytest.fixture
def sweeps(store):
    return SweepStore(store)


def make(sweeps, train=LISTS, **budget):
    sweep = sweeps.create(Grid(train, budget=budget or {"bytes": [1000]}).chains())
    for step in sweep.steps:
        if step.recipe.kind == "train":
            finish(sweeps, step, 0.9)
    return sweeps.get(sweep.id)


def fit(sweeps, step, packed_bytes, half_a, half_b, **changes):
    """Make the budget run of a step as a worker leaves it."""
    run = sweeps.runs.create(step.recipe, parent=step.parent, token=step.token)
    figures = {
        "test_accuracy": half_b,
        "half_a_accuracy": half_a,
        "packed_bytes": packed_bytes,
        "float_bytes": 8000,
        "test_half": "B",
        "test_images": 200,
        "classes": 10,
    }
    summary = summary_of(run, **(figures | changes))
    (run.path / "model.safetensors").write_bytes(b"weights")
    finished = {"state": "finished", "summary": summary, "test_accuracy": half_b}
    write_status(run.path, run.status.model_copy(update=finished))


def fail(sweeps, step, message):
    run = sweeps.runs.create(step.recipe, parent=step.parent, token=step.token)
    failed = {"state": "failed", "message": message}
    write_status(run.path, run.status.model_copy(update=failed))


def budgets(sweep):
    return [steps[-1] for steps in sweep.members]


def best_of(answer):
    assert answer.best is not None
    return answer.best


def test_half_a_chooses_and_half_b_reports(sweeps):
    sweep = make(sweeps)
    dense, half, quarter = budgets(sweep)
    fit(sweeps, dense, 990, half_a=0.80, half_b=0.95)  # the best by half B, which must not choose
    fit(sweeps, half, 980, half_a=0.85, half_b=0.82)
    fit(sweeps, quarter, 700, half_a=0.70, half_b=0.75)
    (answer,) = best_within(sweeps.get(sweep.id))
    assert best_of(answer).run.id == half.run_id
    assert answer.compared == 3
    assert answer.describe() == (
        "Best within 1,000 bytes: LeNet5 at 50% in 980 bytes, 82.00% (76.1 to 86.7) on half B of"
        " the test images (200). It has the highest accuracy on half A of 3 networks."
    )


def test_the_smaller_of_equals_is_the_best(sweeps):
    sweep = make(sweeps)
    for step, size in zip(budgets(sweep), (900, 800, 950), strict=True):
        fit(sweeps, step, size, half_a=0.8, half_b=0.8)
    (answer,) = best_within(sweeps.get(sweep.id))
    assert best_of(answer).bytes == 800


def test_a_network_of_a_smaller_limit_is_also_within_a_larger_one(sweeps):
    sweep = make(sweeps, bytes=[1000, 500])
    for step in budgets(sweep):
        is_small = step.recipe.bytes == 500
        fit(sweeps, step, step.recipe.bytes - 10, half_a=0.9 if is_small else 0.8, half_b=0.8)
    small, large = best_within(sweeps.get(sweep.id))
    assert (small.limit.value, small.compared) == (500, 3)
    assert (large.limit.value, large.compared) == (1000, 6)
    assert best_of(small).bytes == best_of(large).bytes == 490


def test_the_limit_of_a_factor_depends_on_the_network(sweeps):
    sweep = make(sweeps, smaller=[8])
    dense, half, quarter = budgets(sweep)
    fit(sweeps, dense, 1000, half_a=0.8, half_b=0.8)
    fit(sweeps, half, 990, half_a=0.9, half_b=0.8, float_bytes=7000)
    fit(sweeps, quarter, 990, half_a=0.7, half_b=0.8)
    (answer,) = best_within(sweeps.get(sweep.id))
    assert best_of(answer).run.id == dense.run_id
    assert answer.compared == 2
    assert "within 1/8 of the float network's bytes: dense LeNet5" in answer.describe()


def test_a_network_that_could_not_fit_is_counted_and_ends_the_sweep(sweeps):
    sweep = make(sweeps)
    dense, half, quarter = budgets(sweep)
    fail(sweeps, dense, f"{NOTHING_FITS} 1,000 bytes: the smallest has 1,200 bytes.")
    fit(sweeps, half, 980, half_a=0.85, half_b=0.82)
    fail(sweeps, quarter, "No space is left.")
    sweep = sweeps.get(sweep.id)
    (answer,) = best_within(sweep)
    assert (answer.compared, answer.too_large) == (1, 1)
    assert answer.describe().endswith("1 network could not fit: even the smallest file is larger.")
    assert [step.could_not_fit for step in budgets(sweep)] == [True, False, False]
    assert sweep.state == "stopped"
    run = budgets(sweep)[2].run
    message = f"{NOTHING_FITS} 1,000 bytes: the smallest has 1,001 bytes."
    write_status(run.path, run.status.model_copy(update={"message": message}))
    sweep = sweeps.get(sweep.id)
    assert sweep.state == "finished"
    assert best_within(sweep)[0].too_large == 2


def test_nothing_is_called_the_best_without_a_network_or_without_half_a(sweeps):
    sweep = make(sweeps)
    assert best_within(sweep)[0].describe() == "No network is within 1,000 bytes."
    fit(sweeps, budgets(sweep)[0], 980, half_a=None, half_b=0.82)
    assert best_within(sweeps.get(sweep.id))[0].best is None


def test_a_limit_of_accuracy_has_no_best_network(sweeps):
    sweep = make(sweeps, lose=[0.5])
    fit(sweeps, budgets(sweep)[0], 980, half_a=0.8, half_b=0.82)
    sweep = sweeps.get(sweep.id)
    assert best_within(sweep) == []
    assert len(fitted_networks(sweep)) == 1


def test_each_data_set_has_a_best_network(sweeps):
    sweep = make(sweeps, {**LISTS, "dataset": ["Digits", "CIFAR10"], "prune.density": [0.5]})
    for step in budgets(sweep):
        fit(sweeps, step, 980, half_a=0.8, half_b=0.82)
    answers = best_within(sweeps.get(sweep.id))
    assert [answer.limit.dataset for answer in answers] == ["CIFAR10", "Digits"]
    assert [best_of(answer).summary.dataset for answer in answers] == ["CIFAR10", "Digits"]


def test_a_parent_is_fitted_into_several_limits(sweeps, store):
    parent = sample_run(store)
    sweep = sweeps.create(Grid(budget={"bytes": [1000, 500]}).chains(), parent=parent.id)
    assert best_within(sweep) == []  # the data set is that of the runs
    fit(sweeps, budgets(sweep)[0], 980, half_a=0.8, half_b=0.82, density=0.1)
    (answer,) = best_within(sweeps.get(sweep.id))
    assert best_of(answer).name == "LeNet5 at 10%"


def test_the_chart_and_the_table_by_hand(sweeps):
    sweep = make(sweeps)
    dense, half, _ = budgets(sweep)
    fit(sweeps, dense, 990, half_a=0.80, half_b=0.95)
    fit(sweeps, half, 980, half_a=0.85, half_b=0.08)
    sweep = sweeps.get(sweep.id)
    fitted = fitted_networks(sweep)
    table = fitted_table(fitted, best_within(sweep))
    rows = table.to_dict("records")
    assert [
        (row["bytes"], row["half_b"], row["half_a"], row["density"], row["best"]) for row in rows
    ] == [
        (990, 0.95, 0.80, "100%", False),
        (980, 0.08, 0.85, "50%", True),
    ]
    assert [row["note"] for row in rows] == ["", "no better than guessing"]
    chart = fitted_chart(table, best_within(sweep)).to_dict()
    assert chart["datasets"]["limits"] == [{"bytes": 1000, "words": "1,000"}]
    lines = fitted_lines(fitted)
    assert lines[1].split()[:3] == ["990", "80.00%", "95.00%"]
    assert "at most 1,000 bytes" in lines[1]


def test_the_usual_chart_leaves_budgets_out(sweeps):
    sweep = make(sweeps)
    sweep = sweeps.add(sweep.id, Grid(LISTS).chains())
    fit(sweeps, budgets(sweep)[0], 990, half_a=0.80, half_b=0.95)
    sweep = sweeps.get(sweep.id)
    assert len(points_of(sweep)) == 4
    assert {point.accuracy for point in without_budgets(points_of(sweep))} == {0.9}
    assert axes_of(sweep).lines == ()


def test_a_budget_is_taken_to_need_its_minutes(sweeps):
    sweep = make(sweeps, bytes=[1000], minutes=[2])
    assert seconds_left(sweep) == pytest.approx(3 * 120)
