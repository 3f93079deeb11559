"""The command that imports a checkpoint: its output, and what it refuses before it starts."""

import json
import shlex
from pathlib import Path

import pytest
import torch

from core import models
from core.commands import import_network
from core.config import ImportRecipe
from core.models.card import ModelCard
from core.models.saved import model_bytes
from core.runs import worker
from core.runs.store import RunStore
from tests.exit_code import exit_code


@pytest.fixture(autouse=True)
def _signals(monkeypatch):
    """The signals of the test's process stay as they are."""
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)


@pytest.fixture
def net(tmp_path, digits):
    """A checkpoint of a LeNet5 for ten classes."""
    torch.manual_seed(0)
    path = tmp_path / "my net.pth"
    torch.save(models.build("LeNet5", 10).state_dict(), path)
    return path


@pytest.fixture
def other_names(net):
    """The same under other names."""
    path = net.with_name("other.pth")
    torch.save(
        {
            name.replace("features", "body"): tensor
            for name, tensor in torch.load(net, weights_only=True).items()
        },
        path,
    )
    return path


def run(capsys, *words):
    """Exit code, standard output and standard error."""
    code = exit_code(import_network.main, [*map(str, words), "--device", "cpu"])
    return code, *capsys.readouterr()


def only_run(store):
    (found,) = store.list()
    return found


def test_a_file_and_a_data_set_are_enough(net, store, capsys):
    code, out, _ = run(capsys, net, "--dataset", "Digits", "--name", "from a friend", "--tag", "a")
    assert code == 0
    assert "Finished: test accuracy" in out
    assert "The first one is taken: --mean=" in out
    assert "within one point of the best are too close to tell apart" in out
    assert len([line for line in out.splitlines() if "%  " in line]) == 8
    found = only_run(store)
    assert (found.name, found.state, found.recipe.model, found.recipe.file, found.tags) == (
        "from a friend",
        "finished",
        "LeNet5",
        "my net.pth",
        ("a",),
    )


def test_json_ends_the_output(net, store, capsys):
    code, out, err = run(
        capsys, net, "--dataset", "Digits", "--json", "--mean", "0.5,0.5,0.5", "--std=1,1,1"
    )
    assert code == 0
    result = json.loads(out)
    assert list(result) == [
        "run_id",
        "model",
        "dataset",
        "density",
        "kept",
        "prunable",
        "test_accuracy",
        "device",
    ]
    assert (result["run_id"], result["model"], result["prunable"]) == (
        only_run(store).id,
        "LeNet5",
        61_770,
    )
    assert only_run(store).recipe.mean == (0.5, 0.5, 0.5)
    assert "own figures" not in err


def test_the_files_own_normalisation_comes_first(net, tmp_path, store, capsys):
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.1, 0.2, 0.3),
        std=(2, 3, 4),
        side=32,
    )
    path = tmp_path / "own.safetensors"
    path.write_bytes(model_bytes(torch.load(net, weights_only=True), card))
    code, out, _ = run(capsys, path, "--dataset", "Digits")
    assert code == 0
    assert "the file's own figures" in out
    assert (only_run(store).recipe.mean, only_run(store).recipe.std) == ((0.1, 0.2, 0.3), (2, 3, 4))


def test_names_that_differ_need_a_word_and_are_shown(other_names, store, capsys):
    code, out, err = run(capsys, other_names, "--dataset", "Digits")
    assert (code, store.list()) == (2, [])
    assert "--by-order" in err
    code, out, err = run(capsys, other_names, "--dataset", "Digits", "--by-order")
    assert code == 0
    assert "body.0.weight  ->  features.0.weight  6 x 3 x 5 x 5" in out
    assert only_run(store).recipe.by_order


def test_names_that_mean_the_same_need_no_word_and_are_shown(net, store, capsys):
    path = net.with_name("kuangliu.pth")
    tensors = {
        f"module.{name.replace('classifier', 'fc')}": tensor
        for name, tensor in torch.load(net, weights_only=True).items()
    }
    torch.save({"net": tensors, "acc": 12.5, "epoch": 3}, path)
    code, out, _ = run(capsys, path, "--dataset", "Digits", "--mean=0,0,0", "--std=1,1,1")
    assert code == 0
    assert "fc.0.weight  ->  classifier.0.weight  120 x 400" in out
    assert "4 other tensors have the same names." in out
    assert not only_run(store).recipe.by_order


def test_what_fits_several_has_to_be_chosen(net, store, capsys, monkeypatch):
    from core.checkpoints import recognition

    monkeypatch.setattr(
        recognition,
        "recognise",
        lambda state: [
            recognition.RecognisedNetwork("LeNet5", 10, False),
            recognition.RecognisedNetwork("Twin", 10, False),
        ],
    )
    assert "fits LeNet5, Twin: choose with --model" in run(capsys, net, "--dataset", "Digits")[2]
    assert run(capsys, net, "--dataset", "Digits", "--model", "lenet5")[0] == 0


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        ("NET --dataset Nothing", "--dataset must be one of Digits, CIFAR10"),
        ("NET --dataset CIFAR100", "is a network for 10 classes, and CIFAR100 has 100"),
        ("NET --dataset Digits --model ResNet21", "--model must be one of"),
        ("NET --dataset Digits --model ResNet20", "is no ResNet20 for 10 classes"),
        ("NET --dataset Digits --mean 1,2", "argument --mean: takes three numbers"),
        ("NET --dataset Digits --std 1,2,x", "argument --std: takes three numbers"),
        ("NET --dataset Digits --std 1,0,1", "--std must be greater than 0, got 0.0"),
        ("NET --dataset Digits --mean nan,0,0", "--mean must be a finite number"),
        ("gone.pth --dataset Digits", "There is no file gone.pth."),
        ("--dataset Digits", "FILE is needed"),
        ("README.md --dataset Digits", "README.md is no checkpoint"),
        ("NET --what", "unrecognized arguments: --what"),
    ],
)
def test_what_cannot_be_is_one_line_and_makes_no_run(net, store, capsys, words, complaint):
    words = words.replace("NET", shlex.quote(str(net))).replace("README.md", str(_readme()))
    code, out, err = run(capsys, *shlex.split(words))
    assert (code, out) == (2, "")
    assert complaint in err
    assert err.count("\n") == 1
    assert store.list() == []


def _readme():
    return Path(__file__).parents[3] / "README.md"


def test_a_stranger_is_described(tmp_path, store, capsys, digits):
    path = tmp_path / "x.pt"
    torch.save({"a.weight": torch.ones(3, 4)}, path)
    code, _, err = run(capsys, path, "--dataset", "Digits")
    assert code == 2
    assert "12 parameters in 1 tensors, of which the first is a.weight (3 × 4)" in err


def test_the_runs_folder_can_be_chosen(net, tmp_path, capsys):
    assert run(capsys, net, "--dataset", "Digits", "--runs-dir", tmp_path / "elsewhere")[0] == 0
    assert len(RunStore(tmp_path / "elsewhere").list()) == 1


def test_the_command_of_a_recipe_is_that_recipe(net, store, capsys, monkeypatch):
    recipe = ImportRecipe(
        file=net.name,
        model="LeNet5",
        dataset="Digits",
        mean=(0.25, 0.5, 0.125),
        std=(1, 2, 0.3),
        by_order=True,
        device="cpu",
    )
    monkeypatch.chdir(net.parent)
    words = shlex.split(import_network.import_command(recipe))
    assert words[:4] == ["python", "-m", "core", "import"]
    assert run(capsys, *words[4:])[0] == 0
    assert only_run(store).recipe == recipe
