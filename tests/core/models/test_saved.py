"""Saved models: the weights and the card come back, and what is damaged is refused."""

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.torch import save

from core import models
from core.errors import UserError
from core.models import saved
from core.models.card import ModelCard
from core.models.parameters import prunable_weights

CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.1, 0.2, 0.3),
    std=(1, 1, 1),
    side=32,
    recipes=({"kind": "train", "dataset": "Digits"},),
)


@pytest.fixture(scope="module")
def network():
    torch.manual_seed(0)
    return models.build("LeNet5", 10).eval()


@pytest.fixture
def path(tmp_path, network):
    path = tmp_path / "model.safetensors"
    path.write_bytes(saved.model_bytes(network.state_dict(), CARD))
    return path


def test_a_saved_model_comes_back(path, network):
    model = saved.read_model(path)
    assert model.card == saved.read_card(path) == CARD
    assert model.state.keys() == network.state_dict().keys()
    images = torch.rand(2, 3, 32, 32)
    rebuilt = model.network()
    assert torch.equal(rebuilt(images), network(images))
    assert not rebuilt.training
    assert all(parameter.requires_grad for parameter in rebuilt.parameters())


def test_a_rebuilt_network_shares_no_memory_with_the_saved_model(path):
    model = saved.read_model(path)
    with torch.no_grad():
        model.network().get_parameter("features.0.weight").zero_()
    assert model.state["features.0.weight"].any()


def test_weights_of_another_network_do_not_fit(path):
    model = saved.read_model(path)
    other = saved.SavedModel(CARD.model_copy(update={"model": "ResNet20"}), model.state)
    with pytest.raises(UserError, match="These weights do not fit ResNet20"):
        other.network()


def test_the_card_is_read_without_torch(path):
    program = (
        "import sys; from pathlib import Path; from core.models import saved;"
        f" saved.read_card(Path({str(path)!r}));"
        f" list(saved.read_weights(Path({str(path)!r}), ['features.0.weight']));"
        " sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_the_shapes_of_the_layers_are_those_of_the_network(network):
    expected = {name: tuple(weight.shape) for name, weight in prunable_weights(network).items()}
    shapes = saved.layer_shapes(CARD)
    assert list(shapes.items()) == list(expected.items())
    shapes.clear()
    assert saved.layer_shapes(CARD) == expected


def test_weights_are_read_by_name(path, network):
    names = ["classifier.4.bias", "features.0.weight"]
    bias, weight = saved.read_weights(path, names)
    state = network.state_dict()
    assert bias.dtype == weight.dtype == np.float32
    assert np.array_equal(bias, state[names[0]].numpy())
    assert np.array_equal(weight, state[names[1]].numpy().ravel())
    assert torch.equal(saved.load_weight(path, names[1]), state[names[1]])


def test_a_weight_that_is_not_there(path):
    with pytest.raises(UserError, match="damaged or gone"):
        list(saved.read_weights(path, ["conv1.weight"]))
    with pytest.raises(UserError, match=r"conv1\.weight cannot be read"):
        saved.load_weight(path, "conv1.weight")


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:100], lambda _: b""])
def test_a_damaged_file_is_refused(path, damage):
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match="not a model that Secateur saved, or is damaged"):
        saved.read_model(path)
    with pytest.raises(UserError, match="damaged or gone"):
        list(saved.read_weights(path, ["features.0.weight"]))


def test_a_file_without_a_card_is_refused(tmp_path, network):
    from safetensors.torch import save_file

    path = tmp_path / "other.safetensors"
    save_file(network.state_dict(), path)
    with pytest.raises(UserError, match="not a model that Secateur saved"):
        saved.read_card(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match="cannot be read: No such file"):
        saved.read_model(tmp_path / "gone.safetensors")


@pytest.mark.parametrize("content", [None, b"", b"weights", b"\xff" * 100])
def test_a_weight_of_a_missing_or_damaged_file_is_refused(tmp_path, content):
    path = tmp_path / "model.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UserError, match="gone, damaged or of another network"):
        saved.load_weight(path, "fc.weight")


@pytest.mark.parametrize("mean", [[0.5], [0.5] * 4, [float("nan"), 0, 0], ["a", "b", "c"]])
def test_a_card_with_another_number_of_channels_is_refused(mean, tmp_path):
    header = CARD.model_dump(mode="json") | {"mean": mean}
    path = tmp_path / "model.safetensors"
    path.write_bytes(save({"a": torch.ones(1)}, {saved.CARD_KEY: json.dumps(header)}))
    with pytest.raises(UserError, match="damaged"):
        saved.read_card(path)
