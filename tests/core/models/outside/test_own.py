"""Own networks: what is wrong with a file, what is known of a good one, and what it cannot do."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from core import models
from core.config import TrainRecipe
from core.data import load
from core.errors import UserError
from core.forecast.cost import layer_costs
from core.jobs.check import check_recipe
from core.models.card import ModelCard
from core.models.outside import own as own_module
from core.models.outside.files import NetworkFile
from core.models.outside.measure import measure
from core.models.saved import SavedModel
from core.training import setup
from tests.core.models.outside.sources import FOR_ONE_SIDE, GOOD, OTHER, WITH_VALUES

ROOT = Path(__file__).parents[4]
BUILD = "from torch import nn\nimport torch\n"

WRONG = {  # the source, the line of the error, and what is said
    "syntax": ("x = 1\ndef build(classes)\n", 2, "SyntaxError: expected ':'"),
    "null": ("x = 1\0", None, "null bytes"),
    "import": ("\n\nimport no_such_package\n", 3, "ModuleNotFoundError: No module named"),
    "raises": ("def build(classes):\n    return 1 / 0\n", 2, "ZeroDivisionError: division by zero"),
    "no build": ("x = 1\n", None, "has no function build"),
    "exit": ("import sys\nsys.exit(3)\n", 2, "SystemExit: 3"),
    "no module": (
        "def build(classes):\n    return 3\n",
        1,
        "must return a torch.nn.Module, got int",
    ),
    "argument": ("def build():\n    return 3\n", None, "takes 0 positional arguments"),
    "no weights": (
        BUILD + "def build(classes):\n    return nn.Flatten()\n",
        3,
        "no Conv2d and no Linear layer",
    ),
    "double": (
        BUILD + "def build(classes):\n    return nn.Linear(4, classes).double()\n",
        3,
        "parameters must be float32, and weight is float64",
    ),
    "fixed classes": (
        GOOD.replace("32, classes", "32, 10"),
        None,
        r"build\(3\) the network must return a tensor of shape \(2, 3\), got \(2, 10\)",
    ),
    "other size": (
        FOR_ONE_SIDE.replace("SIDE = 8", ""),
        None,
        "for images of 3 x 32 x 32; a network for one size of images says it by SIDE",
    ),
    "a tuple": (
        BUILD
        + "class Two(nn.Module):\n    def __init__(self):\n        super().__init__()\n"
        + "        self.a = nn.Linear(1, 1)\n    def forward(self, x):\n        return x, x\n"
        + "def build(classes):\n    return Two()\n",
        7,
        r"must return a tensor of shape \(2, 3\), got tuple",
    ),
    "values": (
        BUILD
        + "class Clever(nn.Module):\n    def __init__(self, n):\n        super().__init__()\n"
        + "        self.a = nn.Linear(3, n)\n    def forward(self, x):\n"
        + "        if x.sum() > 5: x = x * 2\n        return self.a(x.mean((2, 3)))\n"
        + "def build(classes):\n    return Clever(classes)\n",
        8,
        "runs without values, on torch's meta device",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_a_wrong_file_is_told_in_one_sentence_with_its_line(own, case):
    source, line, reason = WRONG[case]
    path = own(source)
    with pytest.raises(UserError, match=reason) as wrong:
        measure(NetworkFile(path, path.read_bytes()))
    text = str(wrong.value)
    assert text.startswith(str(path) if line is None else f"{path}, line {line}: ")
    assert "\n" not in text


def test_the_facts_of_a_good_file(own):
    path = own()
    info = models.model_info("my_network")
    assert info.name == NetworkFile(path, path.read_bytes()).name
    assert info.description == "A test network."
    assert info.parameters == 8 * 27 + 16 + 33 * 10
    network = models.build_on_meta(info.name, 10)
    assert info.macs == sum(cost.macs for cost in layer_costs(network, 32))
    assert (info.side, info.min_side, info.fixed_side) == (32, 1, False)
    assert models.build("my_network", 7)(torch.zeros(2, 3, 24, 24)).shape == (2, 7)


def test_a_file_that_is_wrong_hurts_no_other(own, monkeypatch):
    """Each of these files would take the server down if it ran in it."""
    own("import os\nos._exit(0)\n", "leaves")
    own("while True:\n    pass\n", "loops")
    own("print('x' * 100)\n" + FOR_ONE_SIDE, "prints")
    own()
    ends = r"\.py ends or crashes the process that checks it"
    with pytest.raises(UserError, match=f"leaves{ends}"):
        models.model_info("leaves")
    with monkeypatch.context() as patch:
        patch.setattr(own_module, "SECONDS", 5)
        with pytest.raises(UserError, match=f"loops{ends}"):
            models.model_info("loops")
    assert models.model_info("prints").fixed_side
    assert {info.description for info in models.own_infos()} == {
        "A test network.",
        "Your network in prints.py.",
    }
    assert models.model_info("LeNet5").parameters == 62_006


def test_a_recipe_is_checked_with_the_images_of_its_data_set(own, digits):
    own(
        GOOD.replace("stride=4", "stride=4, padding=0").replace("nn.ReLU()", "Check()")
        + """
class Check(nn.Module):
    def forward(self, x):
        assert x.shape[-1] == 1, "only tiny images"
        return x
"""
        + "\nSIDE = 4\n",
        "tiny",
    )
    with pytest.raises(UserError, match="exactly 4 x 4 pixels"):
        check_recipe(TrainRecipe(model="tiny", dataset="Digits"), digits)
    own(GOOD)
    check_recipe(TrainRecipe(model="my_network", dataset="Digits"), digits)


def test_the_first_weights_depend_on_the_seed_alone(own, digits):
    own("import torch\ntorch.rand(3)\n" + GOOD)
    dataset = load("Digits", digits)
    recipe = TrainRecipe(model="my_network", dataset="Digits", seed=3)
    state = torch.get_rng_state()
    first, second = (
        setup.initial_network(recipe, dataset, torch.device("cpu")).state_dict() for _ in range(2)
    )
    assert torch.equal(state, torch.get_rng_state())
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_global_settings_of_a_file_stay_in_it(own, capsys):
    own("import torch\ntorch.set_default_dtype(torch.float64)\nprint('hello')\n" + OTHER)
    models.build("my_network", 2)
    assert torch.get_default_dtype() == torch.float32
    assert "hello" not in capsys.readouterr().out


def test_a_saved_model_has_the_values_that_no_file_has(own):
    path = own(WITH_VALUES)
    network = models.build("my_network", 5).eval()
    card = ModelCard(
        model=NetworkFile(path, path.read_bytes()).name,
        classes=tuple("abcde"),
        mean=(0, 0, 0),
        std=(1, 1, 1),
        side=32,
    )
    state = torch.get_rng_state()
    rebuilt = SavedModel(card, network.state_dict()).network()
    assert torch.equal(state, torch.get_rng_state())
    images = torch.rand(2, 3, 32, 32)
    assert torch.equal(rebuilt(images), network(images))
    assert list(models.build_on_meta("my_network", 5).state_dict()) == list(network.state_dict())
    assert models.build_on_meta("my_network", 5).get_parameter("head.weight").is_meta


def test_a_new_version_is_built_at_once_and_the_old_one_stays(own):
    own()
    wide = models.build("my_network", 10)
    old = models.model_info("my_network").name
    own(OTHER)
    narrow = models.build("my_network", 10)
    assert len(wide.get_parameter("0.weight")) == 8
    assert len(narrow.get_parameter("0.weight")) == 4
    assert models.model_info("my_network").name != old
    # This process has built the old version, so that a run in progress is not disturbed.
    assert len(models.build(old, 10).get_parameter("0.weight")) == 8
    code = f"from core import models; models.build({old!r}, 10)"
    fresh = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert f"{old} was built from another version" in fresh.stderr


def test_the_example_is_a_network(monkeypatch):
    path = ROOT / "examples" / "my_network.py"
    facts = measure(NetworkFile(path, path.read_bytes()))
    assert json.loads(json.dumps(facts))["parameters"] == 432 + 32 + 4608 + 64 + 18432 + 128 + 650
