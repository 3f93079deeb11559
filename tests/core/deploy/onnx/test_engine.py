"""The engine: what it refuses, and its profile."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from core.deploy.onnx.engine import OnnxEngine
from core.errors import UserError


def doubling() -> bytes:
    """A model that adds its input to itself: (N, 3, 2, 2) to the same."""
    shape: list[str | int | None] = ["N", 3, 2, 2]
    graph = helper.make_graph(
        [helper.make_node("Add", ["images", "images"], ["logits"], name="twice")],
        "doubling",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, shape)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 9
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def test_it_runs_batches_of_any_size_and_layout():
    engine = OnnxEngine(doubling(), threads=1)
    images = np.arange(24, dtype=np.float32).reshape(2, 2, 2, 3).transpose(0, 3, 1, 2)
    assert np.array_equal(engine.run(images), 2 * images)
    assert engine.run(images[:0]).shape == (0, 3, 2, 2)


def test_images_of_another_size_or_type_are_refused():
    engine = OnnxEngine(doubling())
    with pytest.raises(UserError, match=r"cannot run these images: .*images"):
        engine.run(np.zeros((1, 3, 4, 4), np.float32))
    with pytest.raises(UserError, match="cannot run these images"):
        engine.run(np.zeros((1, 3, 2, 2), np.uint8))


@pytest.mark.parametrize("content", [b"", b"no model", doubling()[:60]])
def test_other_files_are_refused(content):
    with pytest.raises(UserError, match="cannot load this file"):
        OnnxEngine(content)


def test_the_profile_names_the_layers(tmp_path):
    engine = OnnxEngine(doubling(), profile_folder=tmp_path)
    engine.run(np.zeros((1, 3, 2, 2), np.float32))
    file = engine.end_profile()
    assert file.parent == tmp_path
    names = [event["name"] for event in json.loads(file.read_text())]
    assert any(name.startswith("twice") for name in names)


def test_without_a_folder_there_is_no_profile():
    engine = OnnxEngine(doubling())
    with pytest.raises(UserError, match="give the engine a profile_folder"):
        engine.end_profile()
