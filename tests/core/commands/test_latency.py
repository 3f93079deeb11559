"""`python -m core latency`: the table, the JSON object, and wrong arguments."""

import json
import shlex

import pytest

from core import models
from core.commands.latency import PROGRAM, latency_command, latency_recipe, main
from core.commands.latency import _parser as latency_parser
from core.config import LatencyRecipe, TrainRecipe
from core.deploy.openvino_engine import has_openvino
from core.errors import UserError
from core.hashes import write_with_hash
from core.models import saved
from core.models.card import ModelCard
from core.runs.run import MODEL
from tests.sample_runs import sample_run


@pytest.fixture
def parent(store):
    run = sample_run(store, recipe=TrainRecipe(model="LeNet5", dataset="Digits", epochs=4))
    card = ModelCard(
        model="LeNet5",
        dataset="Digits",
        classes=tuple("0123456789"),
        mean=(0.2, 0.3, 0.4),
        std=(0.5, 0.6, 0.7),
        side=32,
    )
    state = models.build("LeNet5", 10).state_dict()
    write_with_hash(run.path / MODEL, saved.model_bytes(state, card))
    return run


def recipe_of(*words):
    return latency_recipe(latency_parser().parse_args(["0123456789", *words]))


def test_a_table_and_one_json_object(store, digits, parent, capsys):
    flags = "--batch 1 2 --threads 1 --seconds 0.001 --json"
    assert main([parent.id, *flags.split(), "--data-dir", str(digits)]) == 0
    out, err = capsys.readouterr()
    (result,) = json.loads(out)["runs"]
    assert result["parent"] == parent.id
    assert [batch["batch"] for batch in result["batches"]] == [1, 2]
    openvino = ["openvino", "openvino-int8"] if has_openvino() else []
    variants = result["batches"][0]["latencies"]["variants"]
    assert list(variants) == ["eager", "onnx", "int8", *openvino]
    assert "times as fast" in err
    assert err.count("ONNX Runtime, int8") >= 2
    (run,) = (run for run in store.list(helpers=True) if run.is_helper)
    assert run.id == result["run_id"]


def test_flags_become_a_recipe_and_back():
    words = "--batch 1 8 --threads 3 --seconds 2 --compile --seed 5"
    recipe = recipe_of(*words.split())
    assert recipe == LatencyRecipe(batch_sizes=(1, 8), threads=3, seconds=2, compiled=True, seed=5)
    assert recipe_of() == LatencyRecipe()
    for one in (recipe, LatencyRecipe()):
        command = shlex.split(latency_command(one, "0123456789"))
        assert " ".join(command[:4]) == PROGRAM
        assert recipe_of(*command[5:]) == one


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--batch 0", "--batch must be greater than or equal to 1, got 0"),
        ("--batch 1 2000", "--batch must be less than or equal to 1024, got 2000"),
        ("--threads 0", r"--threads must be in \[1, 1024\], got 0"),
        ("--seconds 0", r"--seconds must be in \(0, 3600"),
    ],
)
def test_wrong_values_name_the_flag(words, message):
    with pytest.raises(UserError, match=message):
        recipe_of(*words.split())


def test_a_run_that_is_not_there(store, capsys):
    assert main(["0123456789", "--runs-dir", str(store.root)]) == 2
    assert "python -m core latency: RUN: There is no run" in capsys.readouterr().err
