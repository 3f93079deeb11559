"""Own networks and timm's in the commands."""

import importlib.util
import json
import sys

import pytest
import torch
from safetensors.torch import save_file

from core import models
from core.commands import import_network, sweep, train
from core.errors import UserError
from core.models.card import ModelCard
from core.models.saved import SavedModel
from core.runs.store import RunStore
from tests.core.models.outside.sources import GOOD

TRAIN = ["--dataset", "Digits", "--epochs", "1", "--batchsize", "32", "--trainimages", "64"]


@pytest.fixture
def folder(own_folder):
    """The folder of own networks, with one in it."""
    (own_folder / "my_network.py").write_text(f"print('printed by the file')\n{GOOD}")
    return own_folder


def test_train_and_the_command_that_repeats_it(folder, store, digits, capsys):
    assert train.main(["--model", "my_network", *TRAIN, "--lr", "0.05", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)  # and nothing else is printed there
    name = models.model_info("my_network").name
    assert printed["model"] == name
    assert f"--model {name} " in train.train_command(store.get(printed["run_id"]).recipe)
    options = train._parser(train.PROGRAM).parse_args(["--model", name])
    assert train.train_recipe(options).model == name


def test_a_file_that_fails_is_said_in_one_line(folder, digits, capsys):
    path = folder / "broken.py"
    path.write_text("def build(classes):\n    return undefined\n")
    assert train.main(["--model", "broken", *TRAIN]) == 2
    assert capsys.readouterr().err == (
        f"{train.PROGRAM}: {path}, line 2: NameError: name 'undefined' is not defined\n"
    )


def test_a_sweep_names_the_version(folder):
    options = sweep._parser().parse_args(["--model", "my_network", "LeNet5", "--dataset", "Digits"])
    chains = sweep.grid_of(options).chains()
    names = [recipe.model_dump()["model"] for (recipe,) in chains]
    assert names == [models.model_info("my_network").name, "LeNet5"]


def test_an_imported_checkpoint_is_recognised(folder, tmp_path, digits, capsys):
    network = models.build("my_network", 10)
    file = tmp_path / "net.pt"
    torch.save(network.state_dict(), file)
    words = [str(file), "--dataset", "Digits", "--mean", "0,0,0", "--std", "1,1,1", "--json"]
    assert import_network.main(words) == 0
    assert json.loads(capsys.readouterr().out)["model"] == models.model_info("my_network").name


@pytest.mark.skipif(
    importlib.util.find_spec("timm") is None,
    reason="timm is not installed: pip install -r requirements-timm.txt",
)
def test_a_checkpoint_of_timm_is_imported_by_name(tmp_path, store, digits, capsys):
    name = "timm/test_resnet"
    network = models.build(name, 10).eval()
    file = tmp_path / "net.safetensors"
    save_file(network.state_dict(), file)
    words = [str(file), "--model", name, "--dataset", "Digits", "--mean=0,0,0", "--std=1,1,1"]
    assert import_network.main([*words, "--json"]) == 0
    run = store.get(json.loads(capsys.readouterr().out)["run_id"])
    rebuilt = SavedModel(
        ModelCard(model=name, classes=tuple("0123456789"), mean=(0,) * 3, std=(1,) * 3, side=32),
        network.state_dict(),
    ).network()
    images = torch.rand(2, 3, 32, 32)
    assert run.recipe.model == name
    assert torch.equal(rebuilt(images), network(images))
    save_file(models.build("LeNet5", 10).state_dict(), file)
    assert import_network.main(words) == 2
    assert len(RunStore(store.root).list()) == 1


def test_timm_needs_its_package(monkeypatch, capsys, digits):
    monkeypatch.setitem(sys.modules, "timm", None)
    assert train.main(["--model", "timm/no_such_network", *TRAIN]) == 2
    assert "pip install -r requirements-timm.txt" in capsys.readouterr().err
    with pytest.raises(UserError):
        models.model_info("timm/no_such_network")
