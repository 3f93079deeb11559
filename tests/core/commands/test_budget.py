"""The command line of a budget."""

import json

import pytest

from core.commands import budget
from core.config import BudgetRecipe, TrainRecipe
from core.errors import UserError
from core.runs import worker
from core.runs.worker import work
from core.training import setup
from tests import eager_worker
from tests.exit_code import exit_code

SAMPLES = [
    BudgetRecipe(bytes=84_000),
    BudgetRecipe(smaller=8.5, minutes=20, kinds=("round",), seed=7),
    BudgetRecipe(lose=0.0, images=64, trials=0, tuning_epochs=0, device="cpu"),
    BudgetRecipe(lose=0.5, kinds=("round", "share"), lr=0.003, batch_size=64, rest="float32"),
    BudgetRecipe(faster=2.5, minutes=20, tuning_epochs=3),
    BudgetRecipe(
        layers={
            "a.weight": {"clusters": 5},
            "b.weight": {"bits": 4},
            "c.weight": {"clusters": 3, "density": 0.25},
        },
        tuning_epochs=2,
    ),
]


def recipe_from(*words):
    return budget.budget_recipe(budget._parser().parse_args(list(words)))


@pytest.fixture
def trained(store, digits, monkeypatch):
    """A finished training of a tiny network. The signal handlers of the test process stay."""
    monkeypatch.setattr("core.models.build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)
    run = store.create(
        TrainRecipe(
            model="LeNet5", dataset="Digits", device="cpu", prune=None, epochs=1, train_images=40
        )
    )
    for _ in work(run, digits):
        pass
    return store.get(run.id)


@pytest.mark.parametrize("recipe", SAMPLES, ids=str)
def test_the_command_of_a_recipe_gives_the_recipe(recipe):
    words = budget.budget_command(recipe, "0123456789").split()
    assert words[:5] == ["python", "-m", "core", "budget", "0123456789"]
    assert recipe_from(*words[4:]) == recipe


def test_every_setting_has_a_flag():
    assert budget.BUDGET_FLAGS.keys() == BudgetRecipe.model_fields.keys() - {"kind"}


def test_a_run_from_the_command_line(trained, store, capsys):
    words = f"{trained.id} --bytes 2600 --images 64 --trials 2 --epochs 0 --kinds share --json"
    assert exit_code(budget.main, [*words.split(), "--device", "cpu"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["kind"] == "budget"
    assert figures["parent"] == trained.id
    assert figures["packed_bytes"] <= 2600
    assert (figures["test_half"], figures["test_images"]) == ("B", 180)
    run = store.get(figures["run_id"])
    assert run.state == "finished"
    assert run.packed_file.stat().st_size == figures["packed_bytes"]
    events = store.events(run.id)
    candidates = [event for event in events if event["event"] == "candidate"]
    assert all(choice["clusters"] >= 2 for choice in candidates[-1]["layers"].values())
    assert run.name == "budget: at most 2,600 bytes"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("--smaller 8", "RUN is missing"),
        ("0123456789 --smaller 8", "RUN: "),
        ("PARENT", "one of --bytes, --smaller, --lose, --faster, --layers must be given"),
        ("PARENT --bytes 9 --lose 1", "must be given, got --bytes and --lose"),
        ("PARENT --bytes 9 --faster 2", "must be given, got --bytes and --faster"),
        ("PARENT --faster 1", "--faster must be in (1, 1000], got 1"),
        ("PARENT --bytes 9 --layers 0.weight=5c", "must be given, got --bytes and --layers"),
        ("PARENT --layers 5c", "--layers: takes a layer's name and its choice"),
        ("PARENT --layers 0.weight=5", "--layers: takes 5c for 5 clusters"),
        ("PARENT --layers 0.weight=1c", "--layers 0.weight takes 2 to 256 clusters"),
        ("PARENT --layers 0.weight=5c none=4b", "--layers: none is not a weight"),
        ("PARENT --layers 0.weight=5c 0.weight=4b", "--layers takes each layer once"),
        ("PARENT --smaller 1", "--smaller must be in (1, 10000], got 1"),
        ("PARENT --bytes 0", "--bytes must be at least 1, got 0"),
        ("PARENT --lose -1", "--lose must be in [0, 100], got -1"),
        ("PARENT --bytes 9 --minutes 0", "--minutes must be in (0, 10000], got 0"),
        ("PARENT --bytes 9 --kinds prune", "--kinds takes prune with share only, got prune"),
        ("PARENT --bytes 9 --kinds shear", "got 'shear'"),
        ("PARENT --bytes 9 --kinds share share", "--kinds takes each kind once"),
        ("PARENT --bytes 9 --images 5000", "--images must be at most 1,437"),
        ("PARENT --bytes 9 --batchsize 5000", "--batchsize must be at most 1,437"),
        ("PARENT --bytes 99", "--bytes: No choice of clusters and bits gives a file of 99 bytes"),
        ("PARENT --smaller 500", "--smaller: No choice of clusters and bits gives a file of"),
        ("PARENT --bytes 99999 --device cuda:77", "--device"),
    ],
)
def test_what_cannot_work_is_a_sentence_and_no_run(words, sentence, trained, store, capsys):
    before = {run.id for run in store.list()}
    assert exit_code(budget.main, words.replace("PARENT", trained.id).split()) != 0
    assert sentence in capsys.readouterr().err
    assert {run.id for run in store.list()} == before


def test_a_choice_for_every_layer_is_made_without_a_search(trained, store, capsys):
    words = f"{trained.id} --layers 0.weight=16c 5.weight=4b --epochs 0 --images 64 --json"
    assert exit_code(budget.main, [*words.split(), "--device", "cpu"]) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    run = store.get(figures["run_id"])
    assert run.name == "budget: a choice for 2 layers"
    candidates = [event for event in store.events(run.id) if event["event"] == "candidate"]
    choice = {"0.weight": {"clusters": 16}, "5.weight": {"bits": 4}}
    assert all(event["layers"] == choice for event in candidates)


def test_a_recipe_takes_exactly_one_limit():
    for limits in ({}, {"bytes": 9, "lose": 1.0}):
        with pytest.raises(
            ValueError, match="exactly one of bytes, smaller, lose, faster and layers"
        ):
            BudgetRecipe(**limits)
    with pytest.raises(UserError, match="must be given"):
        recipe_from("RUN")
