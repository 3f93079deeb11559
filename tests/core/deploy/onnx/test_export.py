"""The ONNX export: the same answers as PyTorch, its metadata, and what is refused."""

import json
import logging

import numpy as np
import onnx
import pytest
import torch
from torch import Tensor, nn

from core import models
from core.data.batches import normalise
from core.deploy.onnx.check import check_against_torch
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.export import OPSET, export_onnx
from core.deploy.onnx.layers import first_and_last_layer, nodes_of, weights_of_layers
from core.deploy.onnx.metadata import card_of, parse_onnx, with_card
from core.deploy.onnx.pixels import PixelEngine, with_normalisation
from core.errors import UserError
from core.models.card import ModelCard
from tests import toys

MEAN, STD = (0.2, 0.3, 0.4), (0.5, 0.6, 0.7)


def card(side: int = 32, classes: int = 10, model: str = "LeNet5") -> ModelCard:
    names = tuple(f"class {number}" for number in range(classes))
    return ModelCard(model=model, dataset="Digits", classes=names, mean=MEAN, std=STD, side=side)


class Residual(nn.Module):
    """Two convolutions with BatchNorm, a shortcut around the second one, and a linear layer."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 4, 3, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(4)
        self.conv2 = nn.Conv2d(4, 4, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(4)
        self.head = nn.Linear(4, 5)

    def forward(self, images: Tensor) -> Tensor:
        maps = torch.relu(self.norm1(self.conv1(images)))
        maps = torch.relu(maps + self.norm2(self.conv2(maps)))
        logits: Tensor = self.head(maps.mean((2, 3)))
        return logits


def trained(network: nn.Module) -> nn.Module:
    """The network with BatchNorm statistics such as a training leaves."""
    torch.manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.get_buffer("running_mean"), -0.5, 0.5)
            nn.init.uniform_(module.get_buffer("running_var"), 0.5, 2)
            nn.init.uniform_(module.weight, 0.5, 2)
    return network


@pytest.fixture(scope="module")
def residual() -> nn.Module:
    torch.manual_seed(0)
    return trained(Residual())


@pytest.fixture(scope="module")
def exported(residual) -> bytes:
    return export_onnx(residual, card(side=8, classes=5))


def test_a_residual_network_answers_as_in_pytorch(residual, exported):
    images, _ = toys.batch(n=7)
    engine = OnnxEngine(exported, threads=1)
    assert (engine.input_name, engine.output_name) == ("images", "logits")
    with torch.no_grad():
        expected = residual.eval()(images).numpy()
    assert engine.run(images.numpy()) == pytest.approx(expected, abs=1e-5)
    assert engine.run(images[:1].numpy()) == pytest.approx(expected[:1], abs=1e-5)  # any N
    assert check_against_torch(OnnxEngine(exported), residual, images) < 1e-5


def test_batchnorm_is_folded_and_the_file_is_valid(exported):
    proto = parse_onnx(exported)
    onnx.checker.check_model(proto, full_check=True)
    kinds = [node.op_type for node in proto.graph.node]
    assert "BatchNormalization" not in kinds
    assert kinds.count("Conv") == 2
    assert proto.opset_import[0].version == OPSET


def test_the_network_is_left_as_it_was(residual):
    residual.train()
    before = {name: tensor.clone() for name, tensor in residual.state_dict().items()}
    export_onnx(residual, card(side=8, classes=5))
    assert residual.training
    assert all(torch.equal(before[name], t) for name, t in residual.state_dict().items())


def test_the_metadata(exported):
    proto = parse_onnx(exported)
    texts = {entry.key: entry.value for entry in proto.metadata_props}
    assert proto.producer_name == "Secateur"
    assert json.loads(texts["classes"]) == [f"class {number}" for number in range(5)]
    assert card_of(exported) == card(side=8, classes=5)
    other = with_card(exported, card(side=8, classes=5, model="VGG16"))
    assert card_of(other).model == "VGG16"


def test_no_path_of_this_machine_is_in_the_file(exported):
    assert b"site-packages" not in exported
    assert b".py" not in exported


def test_with_normalisation_it_takes_pixels_and_gives_probabilities(residual, exported):
    content = with_normalisation(exported)
    pixels = np.random.default_rng(0).integers(0, 256, (6, 3, 8, 8), np.uint8)
    engine = OnnxEngine(content)
    assert engine.output_name == "probabilities"
    with torch.no_grad():
        logits = residual.eval()(normalise(pixels, MEAN, STD))
    probabilities = engine.run(pixels)
    assert probabilities == pytest.approx(logits.softmax(1).numpy(), abs=1e-6)
    assert probabilities.sum(1) == pytest.approx(np.ones(6), abs=1e-6)
    images = normalise(pixels, MEAN, STD).numpy()
    assert (PixelEngine(engine, card_of(content)).run(images) == probabilities).all()


def test_lenet5_and_its_layers():
    torch.manual_seed(0)
    network = models.build("LeNet5", 10)
    content = export_onnx(network, card())
    images = torch.randn(3, 3, 32, 32)
    assert check_against_torch(OnnxEngine(content), network, images) < 1e-5
    proto = parse_onnx(content)
    names = [name for name, weight in network.named_parameters() if weight.ndim > 1]
    assert list(weights_of_layers(proto)) == names
    assert first_and_last_layer(proto) == (names[0], names[-1])
    with pytest.raises(UserError, match=r"must be among features\.0\.weight, .*, got 'conv9'"):
        nodes_of(proto, ["conv9"])


def test_another_network_is_noticed(exported):
    torch.manual_seed(5)
    images, _ = toys.batch()
    with pytest.raises(UserError, match="answers differently: a logit differs by"):
        check_against_torch(OnnxEngine(exported), trained(Residual()), images)


def test_nan_is_noticed(residual, exported):
    images, _ = toys.batch()
    images[3] = torch.nan
    with pytest.raises(UserError, match="differs by nan"):
        check_against_torch(OnnxEngine(exported), residual, images)


def test_the_export_logs_nothing(residual, caplog, capfd):
    with caplog.at_level(logging.INFO):
        export_onnx(residual, card(side=8, classes=5))
    assert caplog.records == []
    assert capfd.readouterr() == ("", "")


class Branching(nn.Module):
    """A network whose way depends on the pixels, which no graph can hold."""

    def forward(self, images: Tensor) -> Tensor:
        return images.flatten(1) if images.sum() > 0 else -images.flatten(1)


def test_a_network_that_no_graph_can_hold_is_refused():
    with pytest.raises(UserError, match=r"^LeNet5 cannot be exported to ONNX: "):
        export_onnx(Branching(), card(side=8))


@pytest.mark.parametrize("content", [b"", b"no model", b"\x08\x07"])
def test_other_files_are_refused(content):
    with pytest.raises(UserError, match="not an ONNX file"):
        parse_onnx(content)


def test_a_file_without_a_card_is_refused(exported):
    proto = parse_onnx(exported)
    del proto.metadata_props[:]
    with pytest.raises(UserError, match="no model card"):
        card_of(proto.SerializeToString())
