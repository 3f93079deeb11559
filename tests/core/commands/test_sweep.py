"""The command that runs a sweep, as it is typed."""

import json
import shlex

import pytest

from core.commands import sweep as command
from core.commands.sweep import main
from core.commands.sweep_lists import grid_of, sweep_command
from core.runs.lock import RunLock
from core.runs.sweeps.store import SweepStore
from tests.sample_runs import sample_run

SMALL = (
    "--model LeNet5 --dataset Digits --trainimages 64 --batchsize 16 --epochs 1 --lr 0.05"
    " --device cpu --precision float32"
)


def chains(words):
    return grid_of(command._parser().parse_args(shlex.split(words))).chains()


def run(capsys, store, words):
    code = main([*shlex.split(words), "--runs-dir", str(store.root)])
    return code, capsys.readouterr()


def test_the_command_of_a_form_makes_the_same_runs():
    words = (
        "--model LeNet5 ResNet20 --dataset Digits --retrain 1 0.1 0.05 --method snip synflow"
        " --prunetype False True --seeds 2 --epochs 3 --lr 0.1 0.01 --scoremode train --clusters 8"
        " 5 --bits 8 --rounding nearest"
    )
    options = command._parser().parse_args(shlex.split(words))
    typed = sweep_command(grid_of(options), None)
    assert typed.startswith("python -m core sweep ")
    assert chains(typed.removeprefix("python -m core sweep ")) == chains(words)
    assert "--keepevery" not in typed


def test_the_command_of_a_form_with_budgets_makes_the_same_runs():
    words = (
        "--model LeNet5 --retrain 1 0.5 --smaller 4 8.5 --minutes 0.5 --kinds share share,round"
        " --images 64 --trials 0 --tuneepochs 0 1"
    )
    options = command._parser().parse_args(shlex.split(words))
    typed = sweep_command(grid_of(options), None)
    assert "--kinds share share,round" in typed
    made = chains(words)
    assert len(made) == 2 * 2 * 2 * 2
    assert chains(typed.removeprefix("python -m core sweep ")) == made


def test_the_best_network_within_a_limit(capsys, store, digits):
    words = (
        f"{SMALL} --retrain 0.2 --bytes 20000 1000 --minutes 0.01 --kinds share --images 16"
        " --trials 0 --tuneepochs 0"
    )
    code, printed = run(capsys, store, f"{words} --preview")
    assert code == 0
    assert "3 runs: 1 trained, 0 quantized, 2 fitted into a budget." in printed.out
    code, printed = run(capsys, store, f"{words} --json")
    assert code == 0  # that nothing fits into 1,000 bytes is an answer
    result = json.loads(printed.out.splitlines()[-1])
    assert result["state"] == "finished"
    small, large = result["best"]
    assert (small["run_id"], small["compared"], small["too_large"]) == (None, 0, 1)
    assert (large["bytes"], large["compared"], large["too_large"]) == (20000, 1, 0)
    (best,) = result["fitted"]
    assert large["run_id"] == best["run_id"]
    assert best["packed_bytes"] <= 20000
    assert best["test_half"] == "B"
    assert large["text"] in printed.err
    summary = store.get(best["run_id"]).status.summary
    assert summary.test_accuracy == best["test_accuracy"]
    (failed,) = [found for found in store.list() if found.state == "failed"]
    assert "the smallest has" in failed.status.message


def test_a_wrong_address_of_a_cluster_is_refused_before_anything_is_made(
    capsys, store, digits, monkeypatch
):
    monkeypatch.setenv("RAY_ADDRESS", "nonsense")
    code, printed = run(capsys, store, SMALL)
    assert code == 2
    assert "RAY_ADDRESS must be auto or the address" in printed.err
    assert SweepStore(store).list() == []


def test_a_sweep_from_the_command_line(capsys, store, digits):
    words = f"{SMALL} --retrain 1 0.2 --method snip random --seeds 2"
    code, printed = run(capsys, store, f"{words} --preview")
    assert code == 0
    assert "6 runs: 6 trained, 0 quantized." in printed.out
    assert "Training takes about" in printed.out
    assert store.list() == []
    code, printed = run(capsys, store, f"{words} --json")
    assert code == 0
    result = json.loads(printed.out.splitlines()[-1])
    assert result["state"] == "finished"
    assert len(result["points"]) == 6
    assert {point["run_id"] for point in result["points"]} == {run.id for run in store.list()}
    assert not any((run.path / "epochs").exists() for run in store.list())
    code, printed = run(capsys, store, words)
    assert code == 0
    assert "All runs of this sweep are finished already." in printed.out
    assert len(store.list()) == 6
    code, _ = run(capsys, store, f"{words} --clusters 3 --rounding nearest")
    assert code == 0
    assert sum(run.recipe.kind == "kmeans" for run in store.list()) == 6
    assert len(store.list()) == 12
    assert len(SweepStore(store).list()) == 2


def test_points_are_added_to_a_sweep(capsys, store, digits):
    run(capsys, store, f"{SMALL} --seeds 1 --name first")
    sweep = SweepStore(store).list()[0]
    code, printed = run(capsys, store, f"{SMALL} --seeds 2 --add-to {sweep.id}")
    assert code == 0
    assert "1 run: 1 trained" in printed.out
    assert [len(found.steps) for found in SweepStore(store).list()] == [2]
    code, printed = run(capsys, store, f"--resume {sweep.id}")
    assert code == 0
    assert "2 of 2 runs are finished." in printed.out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--model VGG17", "--model must be one of"),
        ("--retrain 0.1 5", r"--retrain must be in (0, 1], got 5.0: did you mean 0.05?"),
        ("--seeds 2 --seed 3", "--seeds and --seed exclude each other"),
        ("--seeds 0", "--seeds must be in [1, 1000], got 0"),
        ("--rounding nearest", "--rounding needs --clusters or --bits"),
        ("--minutes 1", "--minutes needs one of --bytes, --smaller, --lose"),
        (
            "--bytes 900 --lose 1",
            "one of --bytes, --smaller, --lose must be given, got --bytes and",
        ),
        ("--bytes 900 --bits 4", "--bytes excludes --clusters, --bits and --rounding"),
        (
            "--bytes 900 --kinds share,melt",
            "--kinds must be 'share', 'round' or 'prune', got 'melt'",
        ),
        ("--bytes 900 --kinds share share,share", "--kinds takes each kind once"),
        ("--bytes 900 --kinds round,prune", "--kinds takes prune with share only"),
        ("--smaller 1", "--smaller must be"),
        ("--dataset Nowhere", "--dataset must be one of"),
        ("--clusters 1", "--clusters must be in [2, 256], got 1"),
        ("--parent 0123456789 --clusters 5", "There is no run '0123456789'"),
        ("--resume 0123456789", "There is no sweep '0123456789'"),
        ("--seeds 1000000000", "--seeds must be in [1, 1000], got 1000000000"),
        ("--seeds 501 --lr 0.1 0.2", "A sweep takes at most 1,000 combinations"),
        ("--add-to 0123456789 --name x", "--add-to and --name exclude each other"),
        ("--parent 0123456789 --seeds 2", "--parent and --seeds exclude each other"),
        (f"{SMALL} --tag 'two words'", "--tag must be 1 to 30 letters"),
        (f"{SMALL} --add-to abc", "'abc' is not a sweep's id"),
    ],
)
def test_wrong_arguments_say_so_before_anything_is_made(capsys, store, digits, words, message):
    code, printed = run(capsys, store, words)
    assert code == 2
    assert message in printed.err
    assert not store.root.exists() or store.list() == []


def test_all_runs_of_a_sweep_get_its_tags(capsys, store, digits):
    run(capsys, store, f"{SMALL} --seeds 1")
    code, _ = run(capsys, store, f"{SMALL} --seeds 2 --tag paper Base")
    assert code == 0
    assert [found.tags for found in store.list()] == [("paper", "Base")] * 2
    (sweep,) = [found for found in SweepStore(store).list() if len(found.steps) == 2]
    run(capsys, store, f"{SMALL} --seeds 1 --add-to {sweep.id} --tag more")
    assert SweepStore(store).get(sweep.id).config.tags == ("paper", "Base", "more")
    assert [found.tags for found in store.list()] == [("paper", "Base", "more")] * 2


@pytest.mark.parametrize("flags", ["--preview", "--lr 0.5", "--add-to 0123456789", "--name x"])
def test_resume_takes_no_flag_that_is_about_a_new_sweep(capsys, store, digits, flags):
    with pytest.raises(SystemExit) as ended:
        run(capsys, store, f"--resume 0123456789 {flags}")
    assert ended.value.code == 2
    flag = flags.split()[0]
    assert f"its own settings, so it takes no {flag}" in capsys.readouterr().err


def test_points_can_be_added_while_another_process_works(capsys, store, digits):
    run(capsys, store, f"{SMALL} --seeds 1")
    sweep = SweepStore(store).list()[0]
    with RunLock(sweep.path) as lock:
        assert lock.take(1)
        code, printed = run(capsys, store, f"{SMALL} --seeds 2 --add-to {sweep.id}")
    assert code == 0
    assert "Another process works on it, also on what was added." in printed.out
    assert len(SweepStore(store).get(sweep.id).steps) == 2


def test_a_parent_takes_no_training(capsys, store, digits):
    parent = sample_run(store)
    code, printed = run(capsys, store, f"--parent {parent.id} --lr 0.1 --clusters 5")
    assert code == 2
    assert "--parent and --lr exclude each other: nothing is trained" in printed.err
    code, printed = run(capsys, store, f"--parent {parent.id}")
    assert code == 2
    assert "--parent needs --clusters, --bits or one of --bytes" in printed.err
