"""The command that tests networks on all test images: its report, its files, what it refuses."""

import csv
import json
import math

import numpy as np
import pytest
import torch

from core import data
from core.commands import answers
from core.config import TrainRecipe
from core.hashes import write_with_hash
from core.inspect.behaviour.answers import hash_test_set
from core.models import build, saved
from core.models.card import ModelCard
from core.runs import worker
from core.runs.answers import find_answers_run, request_answers
from core.runs.run import MODEL, write_status
from tests.exit_code import exit_code
from tests.sample_runs import sample_run

MEAN = 0.3
STD = 0.4


@pytest.fixture(autouse=True)
def _signals(monkeypatch):
    """The signals of the test's process stay as they are."""
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)


@pytest.fixture
def trained(store, digits):
    """A function that makes a finished run with real weights, and returns it and its network."""

    def make(name, seed=0, classes=tuple("0123456789")):
        run = sample_run(store, recipe=TrainRecipe(model="LeNet5", dataset="Digits"), name=name)
        card = ModelCard(
            model="LeNet5",
            dataset="Digits",
            classes=classes,
            mean=(MEAN,) * 3,
            std=(STD,) * 3,
            side=32,
        )
        torch.manual_seed(seed)
        network = build("LeNet5", len(classes)).eval()
        write_with_hash(run.path / MODEL, saved.model_bytes(network.state_dict(), card))
        return run, network

    return make


def run_answers(capsys, *words):
    """Exit code, standard output and standard error."""
    code = exit_code(answers.main, [str(word) for word in words])
    return code, *capsys.readouterr()


def predictions(network, digits):
    """The classes that a network predicts, and whether they are right, computed directly."""
    test = data.load("Digits", digits).test
    images = torch.from_numpy(np.array(test.images)).float() / 255
    with torch.no_grad():
        logits = network((images - MEAN) / STD)
    predicted = logits.argmax(1).numpy()
    return predicted, predicted == test.labels


def test_one_network_gets_its_accuracy_with_the_interval(store, trained, digits, capsys):
    run, network = trained("mine")
    _, right = predictions(network, digits)
    code, out, _ = run_answers(capsys, run.id)
    assert code == 0
    assert "Accuracy on all 360 test images of Digits, with its 95% interval:" in out
    assert f"  {right.mean():.2%} (" in out
    assert "mine, no better than guessing (10% for 10 classes)" in out
    assert "Compared with" not in out


def test_several_networks_are_compared_with_the_first(trained, digits, capsys):
    first, first_network = trained("first")
    second, second_network = trained("second", seed=1)
    _, first_right = predictions(first_network, digits)
    _, second_right = predictions(second_network, digits)
    broken = int((first_right & ~second_right).sum())
    fixed = int((~first_right & second_right).sum())
    code, out, err = run_answers(capsys, first.id, second.id, "--json")
    assert code == 0
    result = json.loads(out)
    assert (result["dataset"], result["test_images"]) == ("Digits", 360)
    assert [row["run_id"] for row in result["runs"]] == [first.id, second.id]
    assert [row["test_accuracy"] for row in result["runs"]] == pytest.approx(
        [first_right.mean(), second_right.mean()]
    )
    assert "compared_with_first" not in result["runs"][0]
    counts = result["runs"][1]["compared_with_first"]
    assert (counts["broken"], counts["fixed"]) == (broken, fixed)
    assert counts["both_wrong"] == int((~first_right & ~second_right).sum())
    assert counts["p_value"] == pytest.approx(mcnemar(broken, fixed))
    assert "Compared with first:" in err
    assert f"second: {broken} broken, {fixed} fixed, " in err
    assert "(McNemar's exact test)" in err


def mcnemar(broken, fixed):
    """The two-sided p-value by its definition: a fair coin for each image that changed."""
    tosses = broken + fixed
    chances = [math.comb(tosses, heads) / 2**tosses for heads in range(tosses + 1)]
    return sum(chance for chance in chances if chance <= chances[broken] * (1 + 1e-9))


def test_the_table_has_a_row_for_each_image(trained, digits, capsys, tmp_path):
    run, network = trained("mine")
    predicted, right = predictions(network, digits)
    file = tmp_path / "answers.csv"
    assert run_answers(capsys, run.id, "--csv", file)[0] == 0
    with file.open(newline="") as table:
        rows = list(csv.DictReader(table))
    assert [int(row["image"]) for row in rows] == list(range(360))
    assert [int(row["mine: answer"]) for row in rows] == predicted.tolist()
    assert [row["mine: right"] == "1" for row in rows] == right.tolist()


def test_a_network_is_tested_once(store, trained, digits, capsys):
    run, _ = trained("mine")
    assert "Finished" in run_answers(capsys, run.id)[1]
    assert "Finished" not in run_answers(capsys, run.id, run.id)[1]
    assert [other.config.parent for other in store.list(helpers=True) if other.is_helper] == [
        run.id
    ]


def test_a_stopped_test_is_continued(store, trained, digits, capsys):
    run, _ = trained("mine")
    test = request_answers(store, run, hash_test_set(data.load("Digits", digits)))
    write_status(test.path, test.status.model_copy(update={"state": "cancelled"}))
    assert run_answers(capsys, run.id)[0] == 0
    continued = find_answers_run(store, run)
    assert continued is not None
    assert continued.state == "finished"


def test_a_test_that_fails_is_exit_1_and_its_sentence(trained, digits, capsys):
    run, _ = trained("mine")
    content = bytearray((run.path / MODEL).read_bytes())
    content[-8:] = np.full(2, np.nan, np.float32).tobytes()
    write_with_hash(run.path / MODEL, bytes(content))
    code, _, err = run_answers(capsys, run.id)
    assert code == 1
    assert "The test of “mine” is failed. " in err
    assert "infinite or NaN" in err


@pytest.mark.parametrize("classes", [tuple("0123456798"), tuple("012345678")])
def test_other_classes_are_refused_in_a_sentence(store, trained, digits, capsys, classes):
    first, _ = trained("first")
    second, _ = trained("second", classes=classes)
    code, out, err = run_answers(capsys, first.id, second.id)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "The answers of first and second cannot be compared, because" in err
    assert len(store.list(helpers=True)) == 2


def test_what_cannot_be_tested_is_refused_before_anything_is_made(store, digits, capsys, tmp_path):
    stopped = sample_run(store, "failed", done=1, name="stopped")
    for words, message in (
        ([], "the following arguments are required: RUN"),
        (["0123456789"], "RUN: There is no run '0123456789'"),
        (["../x"], "RUN: '../x' is not a run's id"),
        ([stopped.id], "RUN: “stopped” is failed and has no network in float to test"),
        ([stopped.id, "--csv", tmp_path], "--csv must be a file in a folder that exists"),
        ([stopped.id, "--csv", tmp_path / "no" / "a.csv"], "--csv must be a file in a folder"),
    ):
        code, out, err = run_answers(capsys, *words)
        assert (code, out, err.count("\n")) == (2, "", 1)
        assert err.startswith(f"python -m core answers: {message}")
    assert len(store.list(helpers=True)) == 1
