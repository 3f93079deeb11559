"""The export command: files of a run, their check in a fresh process, and wrong arguments."""

import json
import shlex

import numpy as np
import pytest
import torch
from safetensors.torch import load

from core import models
from core.commands.export import main
from core.commands.int8_flags import int8_command
from core.commands.run_files import exported_file
from core.config import AnswersRecipe, Int8Recipe, Prune, TrainRecipe
from core.deploy.files.openvino_ir import ir_engine
from core.deploy.onnx.engine import OnnxEngine
from core.deploy.onnx.layers import weights_in_file
from core.deploy.onnx.metadata import card_of
from core.errors import UserError
from core.hashes import write_with_hash
from core.models import saved
from core.models.card import ModelCard
from core.runs import worker
from core.runs.int8 import request_int8
from core.runs.run import INT8, MASKS, MODEL, write_status
from tests.exit_code import exit_code
from tests.sample_runs import sample_run

RECIPE = TrainRecipe(
    model="LeNet5", dataset="Digits", prune=Prune(density=0.5), epochs=4, batch_size=32
)
CARD = ModelCard(
    model="LeNet5",
    dataset="Digits",
    classes=tuple("0123456789"),
    mean=(0.2, 0.3, 0.4),
    std=(0.5, 0.6, 0.7),
    side=32,
    recipes=(RECIPE.model_dump(mode="json"),),
)
FIRST = "features.0.weight"
ZEROS = 225  # half of the first layer's 6 x 3 x 5 x 5 weights


@pytest.fixture(autouse=True)
def _signal_handlers_stay(monkeypatch):
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)


@pytest.fixture
def run(store, digits):
    """A finished run with a pruned, untrained network. It recorded 90% right, which it does not."""
    run = sample_run(store, recipe=RECIPE)
    torch.manual_seed(0)
    state = models.build("LeNet5", 10).state_dict()
    state[FIRST][::2] = 0
    masks = {name: state[name] != 0 for name in saved.layer_shapes(CARD)}
    write_with_hash(run.path / MODEL, saved.model_bytes(state, CARD))
    write_with_hash(run.path / MASKS, saved.model_bytes(masks, CARD))
    return run


def export(run, format_name, out, *words):
    return main([run.id, "--to", format_name, "--out", str(out), *words])


def test_integers_are_made_once_and_checked_afresh(store, run, tmp_path, capsys):
    out = tmp_path / "int8.onnx"
    words = ["--calibration", "16", "--verifyimages", "50", "--json"]
    assert export(run, "onnx-int8", out, *words) == 0
    printed, _ = capsys.readouterr()
    figures = json.loads(printed)
    made = store.get(figures["run_id"])
    assert (made.config.parent, made.state) == (run.id, "finished")
    assert made.recipe == Int8Recipe(images=16)
    assert out.read_bytes() == (made.path / INT8).read_bytes()
    assert (figures["verified_images"], figures["zeros"]) == (50, ZEROS)
    assert figures["bytes"] == out.stat().st_size
    assert card_of(out.read_bytes()).recipes[-1]["kind"] == "int8"
    # The same words name the same run, and its file is its own export.
    again = exported_file(store, made, "onnx-int8")
    assert again.content == out.read_bytes()
    assert again.recorded == figures["recorded_accuracy"]
    text = exported_file(store, made, "card").content.decode()
    assert f"python -m core export {run.id} --to onnx-int8 --out int8.onnx --calibration 16" in text
    with pytest.raises(UserError, match="Export it as onnx-int8, openvino-int8 or card, or"):
        exported_file(store, made, "packed")


def test_integers_outlive_their_network(store, run, digits, tmp_path, capsys):
    made = request_int8(store, run, Int8Recipe(images=16))
    list(worker.work(made, digits))
    store.delete(run.id)
    out = tmp_path / "int8.onnx"
    assert export(made, "onnx-int8", out, "--data-dir", str(digits)) == 0
    printed = capsys.readouterr().out
    assert f"made from ({run.id}) is gone" in printed
    assert "by ONNX Runtime on 360 test images." in printed
    assert exported_file(store, store.get(made.id), "card").model is None
    assert export(made, "onnx", tmp_path / "float.onnx") == 1
    assert f"or export {run.id}" in capsys.readouterr().err


@pytest.mark.parametrize("format_name", ["onnx", pytest.param("onnx-int8", marks=pytest.mark.slow)])
def test_with_normalisation_the_file_takes_pixels(run, format_name, tmp_path, capsys):
    out = tmp_path / "pixels.onnx"
    words = ["--with-normalisation", "--verifyimages", "20"]
    assert export(run, format_name, out, *words) == 0
    assert "by ONNX Runtime on 20 test images" in capsys.readouterr().out
    probabilities = OnnxEngine(out.read_bytes()).run(np.zeros((2, 3, 32, 32), np.uint8))
    assert probabilities.sum(1) == pytest.approx([1, 1], abs=1e-5)


@pytest.mark.parametrize(
    "format_name", [pytest.param("openvino", marks=pytest.mark.slow), "openvino-int8"]
)
def test_a_file_for_openvino(run, format_name, tmp_path, capsys):
    pytest.importorskip("openvino")
    out = tmp_path / "network.zip"
    words = ["--with-normalisation", "--verifyimages", "50", "--json"]
    assert export(run, format_name, out, *words) == 0
    printed, notes = capsys.readouterr()
    assert "by OpenVINO on 50 test images" in notes
    assert json.loads(printed)["zeros"] == ZEROS
    probabilities = ir_engine(out.read_bytes()).run(np.zeros((2, 3, 32, 32), np.uint8))
    assert probabilities.sum(1) == pytest.approx([1, 1], abs=1e-5)


def test_only_force_replaces_a_file_and_one_that_fails_its_check_stays(run, tmp_path, capsys):
    out = tmp_path / "out.safetensors"
    out.write_text("mine")
    assert export(run, "safetensors", out) == 2
    assert "is there already; --force replaces it" in capsys.readouterr().err
    assert out.read_text() == "mine"
    assert export(run, "safetensors", out, "--force") == 1
    _, errors = capsys.readouterr()
    assert f"Do not use {out}: The file gets " in errors
    assert out.read_bytes() == (run.path / MODEL).read_bytes()


# -- what is in the files --


def test_every_format_has_its_content(store, run):
    assert (
        load(exported_file(store, run, "safetensors").content).keys()
        == load((run.path / MODEL).read_bytes()).keys()
    )
    masks = load(exported_file(store, run, "masks").content)
    assert int((~masks[FIRST]).sum()) == ZEROS
    table = exported_file(store, run, "metrics").content.decode()
    assert len(table.splitlines()) == 1 + RECIPE.epochs
    card = exported_file(store, run, "card").content.decode()
    assert "python -m core train --model LeNet5" in card
    packed = exported_file(store, run, "packed")
    assert len(packed.content) < (run.path / MODEL).stat().st_size
    assert packed.recorded == run.status.summary.test_accuracy


def test_dead_channels_leave_the_onnx_file(store, run):
    exported = exported_file(store, run, "onnx")
    assert exported.note.startswith("Dead channels: 3 of 236 leave the network;")
    assert weights_in_file(exported.content)[FIRST].shape == (3, 3, 5, 5)


def test_a_damaged_result_is_not_exported(store, run):
    with (run.path / MODEL).open("r+b") as file:
        file.seek(-1, 2)
        file.write(b"x")
    with pytest.raises(UserError, match="damaged"):
        exported_file(store, run, "safetensors")


def test_only_finished_results_are_exported(store, run):
    answers = store.create(AnswersRecipe(), parent=run.id)
    write_status(answers.path, answers.status.model_copy(update={"state": "finished"}))
    with pytest.raises(UserError, match="no network of its own"):
        exported_file(store, store.get(answers.id), "card")
    other = sample_run(store, state="failed")
    with pytest.raises(UserError, match="is failed: export a finished run"):
        exported_file(store, other, "packed")


def test_the_command_of_integers():
    recipe = Int8Recipe(images=100, float_last=True)
    words = shlex.split(int8_command(recipe, "0123456789"))
    assert words[3:6] == ["export", "0123456789", "--to"]
    assert words[-3:] == ["--calibration", "100", "--float-last"]


# -- wrong arguments --


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "onyx", "--out", "x"], "argument --to: invalid choice: 'onyx'"),
        (["--to", "onnx"], "the following arguments are required: --out"),
        (["--to", "onnx", "--out", "nowhere/x"], "--out must be in a folder that exists"),
        (["--to", "onnx", "--out", "."], "--out must be a file, and . is a folder"),
        (
            ["--to", "onnx", "--out", "x", "--verifyimages", "0"],
            "--verifyimages must be at least 1, got 0",
        ),
        (
            ["--to", "onnx", "--out", "x", "--float-first"],
            "--float-first goes with --to onnx-int8 and openvino-int8 only",
        ),
        (
            ["--to", "packed", "--out", "x", "--with-normalisation"],
            "--with-normalisation goes with --to onnx, onnx-int8, openvino, openvino-int8 only",
        ),
        (
            ["--to", "onnx-int8", "--out", "x", "--calibration", "0"],
            "--calibration must be in [1, 100000], got 0",
        ),
        (
            ["--to", "onnx-int8", "--out", "x", "--calibration", "1438"],
            "--calibration must be at most 1,437, the training images of Digits, got 1438",
        ),
    ],
)
def test_wrong_arguments_are_one_line(run, words, message, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    assert exit_code(main, [run.id, *words]) == 2
    out, err = capsys.readouterr()
    assert (out, err.count("\n")) == ("", 1)
    assert err.startswith(f"python -m core export: {message}")


def test_an_unknown_run(store, tmp_path, capsys):
    assert main(["0123456789", "--to", "card", "--out", str(tmp_path / "x")]) == 2
    assert "RUN: There is no run '0123456789'" in capsys.readouterr().err
