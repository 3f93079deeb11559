"""ONNX Runtime's profile, written by hand and by the real engine."""

import json

import pytest

from core.deploy.profile import add_up_types, describe_operators, read_profile
from core.errors import UserError


def event(name, op_type, microseconds):
    return {
        "cat": "Node",
        "name": f"{name}_kernel_time",
        "dur": microseconds,
        "args": {"op_name": op_type},
    }


def written(tmp_path, events):
    path = tmp_path / "profile.json"
    path.write_text(events if isinstance(events, str) else json.dumps(events))
    return path


def test_shares_by_hand(tmp_path):
    events = [
        {"cat": "Session", "name": "model_run", "dur": 9999, "args": {}},
        event("conv", "Conv", 50_000),  # the first run, which plans
        event("conv", "Conv", 3000),
        event("conv", "Conv", 3000),
        event("fc", "Gemm", 1000),
        event("conv2", "Conv", 2000) | {"name": "conv2_fence_before"},
        event("conv2", "Conv", 4000),
    ]
    operators = read_profile(written(tmp_path, events))
    assert [(one.name, one.op_type, one.milliseconds) for one in operators] == [
        ("conv2", "Conv", 4),
        ("conv", "Conv", 3),
        ("fc", "Gemm", 1),
    ]
    assert [one.share for one in operators] == [0.5, 0.375, 0.125]
    types = add_up_types(operators)
    assert [(one.name, one.milliseconds, one.share) for one in types] == [
        ("Conv", 7, 0.875),
        ("Gemm", 1, 0.125),
    ]
    assert describe_operators(operators, 2) == "Conv conv2 (50%) and Conv conv (38%)"
    assert describe_operators(operators[2:]) == "Gemm fc (12%)"
    assert describe_operators([]) == ""


@pytest.mark.parametrize(
    "content",
    ["", "{", "3", "[3]", '[{"cat": "Node"}]', '[{"cat": "Node", "name": "a_kernel_time"}]'],
)
def test_a_file_that_is_no_profile(tmp_path, content):
    with pytest.raises(UserError, match="no profile of ONNX Runtime"):
        read_profile(written(tmp_path, content))


def test_a_profile_in_which_nothing_ran(tmp_path):
    with pytest.raises(UserError, match="no times of operators"):
        read_profile(written(tmp_path, [{"cat": "Session", "name": "model_loading", "dur": 1}]))


def test_a_file_that_is_missing(tmp_path):
    with pytest.raises(UserError, match="cannot be read"):
        read_profile(tmp_path / "none.json")
