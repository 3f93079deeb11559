"""OpenVINO's own format: what is in the file, and which files are refused."""

import io
import zipfile

import numpy as np
import pytest
import torch

from core.deploy import openvino_engine
from core.deploy.files.openvino_ir import (
    card_in_ir,
    ir_engine,
    ir_zip,
    read_ir_zip,
    weights_in_ir,
)
from core.deploy.onnx.export import export_onnx
from core.deploy.onnx.int8 import quantize_int8
from core.deploy.onnx.layers import weights_in_file
from core.deploy.openvino_engine import OpenVinoEngine
from core.errors import UserError
from core.models.card import ModelCard
from tests.toys import Flat, batch

pytest.importorskip("openvino")

CARD = ModelCard(
    model="VGG16",
    dataset="Digits",
    classes=("é", "<b>", "c", "d", "e"),
    mean=(0.2, 0.3, 0.4),
    std=(0.5, 0.6, 0.7),
    side=8,
)


@pytest.fixture(scope="module")
def onnx_file():
    torch.manual_seed(0)
    return export_onnx(Flat(), CARD)


def test_the_answers_the_card_and_the_weights_come_along(onnx_file):
    content = ir_zip(onnx_file)
    images = batch(n=3)[0].numpy()
    expected = OpenVinoEngine(onnx_file, threads=1).run(images)
    assert ir_engine(content, threads=1).run(images) == pytest.approx(expected, abs=1e-6)
    assert card_in_ir(content) == CARD
    weights = weights_in_ir(content)
    expected_weights = weights_in_file(onnx_file)
    assert weights.keys() == expected_weights.keys()
    assert all(torch.equal(weights[name], expected_weights[name]) for name in weights)


def test_torch_keeps_its_denormal_numbers(onnx_file):
    OpenVinoEngine(onnx_file, threads=1).run(batch(n=1)[0].numpy())
    assert (torch.tensor([3e-45]) * 1).item() > 0


def test_integer_weights_stay_integers(onnx_file):
    rounded = quantize_int8(onnx_file, [batch(n=8)[0].numpy()])
    weights = weights_in_ir(ir_zip(rounded))
    expected = weights_in_file(rounded)
    assert {weight.dtype for weight in weights.values()} == {torch.int8}
    assert all(torch.equal(weights[name], expected[name]) for name in expected)


def test_no_path_of_this_machine_is_in_the_file(onnx_file):
    xml, _ = read_ir_zip(ir_zip(onnx_file))
    assert b"/tmp" not in xml
    assert b"openvino-" not in xml


def _zip(**files: bytes) -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in files.items():
            archive.writestr(name.replace("_", "."), data)
    return content.getvalue()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"junk", "not a .zip with network.xml"),
        (_zip(network_xml=b"<net/>"), "not a .zip with network.xml"),
        (_zip(network_xml=b"<net/>", network_bin=b""), "OpenVINO cannot read this file"),
    ],
)
def test_other_files_are_refused(content, message):
    with pytest.raises(UserError, match=message):
        ir_engine(content)


def test_a_file_cut_short_is_refused(onnx_file):
    xml, data = read_ir_zip(ir_zip(onnx_file))
    with pytest.raises(UserError, match="OpenVINO cannot read this file"):
        ir_engine(_zip(network_xml=xml, network_bin=data[:10]))


def test_images_of_another_size_are_refused(onnx_file):
    engine = OpenVinoEngine(onnx_file)
    with pytest.raises(UserError, match="OpenVINO cannot run these images"):
        engine.run(np.zeros((1, 3, 9, 9), np.float32))


def test_without_the_package_it_says_how_to_install_it(onnx_file, monkeypatch):
    monkeypatch.setattr(openvino_engine, "has_openvino", lambda: False)
    with pytest.raises(UserError, match=r"pip install -r requirements-openvino\.txt"):
        ir_zip(onnx_file)
