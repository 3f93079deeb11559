"""The command line of pruning a trained network."""

import json

import pytest

from core.commands import prune
from core.commands.flags import typed_values
from core.config import PruneRecipe, TrainRecipe, validate_recipe
from core.runs import worker
from core.runs.worker import work
from core.training import setup
from tests import eager_worker
from tests.exit_code import exit_code

SAMPLES = [
    PruneRecipe(),
    PruneRecipe(method="magnitude", density=0.2, epochs=12, gradual=8, every=50, lr=0.03),
    PruneRecipe(method="snip", layer_densities="erk", spare_first=True, spare_last=True, images=9),
    PruneRecipe(method="random", rewind=0, epochs=1, teacher="labels", recalibrate=False, seed=7),
    PruneRecipe(
        momentum=0,
        weight_decay=1e-4,
        batch_size=64,
        train_images=100,
        precision="float32",
        device="cpu",
    ),
]


def recipe_from(*words):
    options = prune._parser().parse_args(list(words))
    return validate_recipe(PruneRecipe, typed_values(options, prune.PRUNE_FLAGS))


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
    words = prune.prune_command(recipe, "0123456789").split()
    assert words[:5] == ["python", "-m", "core", "prune", "0123456789"]
    assert recipe_from(*words[4:]) == recipe


def test_every_setting_has_a_flag():
    assert prune.PRUNE_FLAGS.keys() == PruneRecipe.model_fields.keys() - {"kind"}


@pytest.mark.parametrize("flag", ["--density", "--retrain", "--retain"])
def test_the_density_has_the_names_that_training_has(flag):
    assert recipe_from("RUN", flag, "0.1").density == 0.1


def test_a_run_from_the_command_line(trained, store, capsys):
    words = [trained.id, "--method", "magnitude", "--density", "0.1", "--device", "cpu", "--json"]
    assert exit_code(prune.main, words) == 0
    figures = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert figures["kind"] == "prune"
    assert figures["parent"] == trained.id
    assert figures["density"] == pytest.approx(0.1, abs=1e-3)
    assert figures["packed_bytes"] < figures["float_bytes"] / 5
    assert store.get(figures["run_id"]).state == "finished"


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("", "RUN is missing"),
        ("0123456789", "RUN: "),
        ("PARENT --density 20", "--density must be in (0, 1], got 20.0: did you mean 0.2?"),
        ("PARENT --method taylor", "--method must be"),
        ("PARENT --gradual 2", "--gradual must be at most 0, the epochs of fine-tuning (--epochs)"),
        ("PARENT --gradual 1 --epochs 2", "--gradual must be 0 with --method compensated"),
        (
            "PARENT --method channel-snip --layerdensities erk",
            "--layerdensities must be global with --method channel-snip, got erk",
        ),
        ("PARENT --method magnitude --rewind 0", "--rewind needs --epochs"),
        ("PARENT --rewind 0 --epochs 1", "--rewind does not go with --method compensated"),
        (
            "PARENT --method magnitude --rewind 0 --epochs 2 --gradual 1",
            "--rewind needs --gradual 0",
        ),
        ("PARENT --method magnitude --rewind 9 --epochs 2", "--rewind must be one of the kept"),
        ("PARENT --epochs 1 --batchsize 5000", "--batchsize must be at most 1,437"),
        ("PARENT --epochs 1 --trainimages 5000", "--trainimages must be at most 1,437"),
        ("PARENT --device cuda:77", "--device"),
    ],
)
def test_what_cannot_work_is_a_sentence_and_no_run(words, sentence, trained, store, capsys):
    before = {run.id for run in store.list()}
    assert exit_code(prune.main, words.replace("PARENT", trained.id).split()) != 0
    assert sentence in capsys.readouterr().err
    assert {run.id for run in store.list()} == before
