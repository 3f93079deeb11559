"""The command line: the original's words, and what it promises to scripts."""

import json
import os
import random
import shlex
import signal
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest
from filelock import FileLock

from core import baseline
from core.accuracy import interval_text
from core.commands import train
from core.config import PATTERN_DENSITIES, Method, Pattern, Prune, TrainRecipe
from core.runs import worker
from core.runs.run import Status, write_status
from core.training import setup
from tests import eager_worker
from tests.exit_code import exit_code
from tests.waiting import until

ROOT = Path(__file__).parents[3]
QUICK = [
    "--model",
    "LeNet5",
    "--dataset",
    "Digits",
    "--epochs",
    "2",
    "--batchsize",
    "16",
    "--trainimages",
    "40",
    "--lr",
    "0.05",
    "--retrain",
    "0.2",
    "--device",
    "cpu",
]
KEYS = [
    "run_id",
    "model",
    "dataset",
    "density",
    "kept",
    "prunable",
    "epochs",
    "test_accuracy",
    "best_accuracy",
    "best_by",
    "test_images",
    "classes",
    "float_bytes",
    "packed_bytes",
    "train_seconds",
    "images_per_second",
    "precision",
    "device",
]


def recipe_from(*words):
    return train.train_recipe(
        train._parser(train.PROGRAM).parse_args(train._remove_equals_signs(list(words)))
    )


@pytest.fixture
def toy(monkeypatch):
    """Train a tiny network, and leave the signal handlers of the test process alone."""
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)


# -- words --


def test_no_flags_are_the_originals_defaults():
    assert recipe_from() == TrainRecipe()


def test_the_originals_command_line():
    words = (
        "--model VGG16 --dataset CIFAR10 --prunetype False --lr 0.1 --epochs 70 --weightdecay"
        " 0.0005 --step 20 --batchsize 128 --retrain 0.05"
    )
    assert recipe_from(*words.split()) == TrainRecipe()


@pytest.mark.parametrize(
    "words",
    [
        '--model = "ResNet34" --epochs = 3',
        "--model=ResNet34 --epochs=3",
        "--model= ResNet34 --epochs= 3",
        "--model =ResNet34 --epochs =3",
        "--model ResNet34 --epochs 3",
        "--epochs = 3 --model = ResNet34",
    ],
)
def test_the_originals_spelling(words):
    recipe = recipe_from(*shlex.split(words))
    assert (recipe.model, recipe.epochs) == ("ResNet34", 3)


@pytest.mark.parametrize(
    ("words", "field", "value"),
    [
        ("--retain 0.3", "density", 0.3),
        ("--retrain 0.3", "density", 0.3),
        ("--dense", "prune", None),
        ("--model lenet5", "model", "LeNet5"),
        ("--model resnet50", "model", "resnet50"),
        ("--augment no", "augment", False),
        ("--augment YES", "augment", True),
        ("--seed 7", "seed", 7),
        ("--prunetype True", "prune", Prune(layerwise=True)),
        ("--prunetype layerwise", "prune", Prune(layerwise=True)),
        ("--prunetype global", "prune", Prune()),
        ("--method random", "prune", Prune(method="random")),
        ("--scorebatch 256 --scorebatches 3", "prune", Prune(batch_size=256, batches=3)),
        ("--method synflow --rounds 9", "prune", Prune(method="synflow", rounds=9)),
        ("--pattern 2:4", "prune", Prune(pattern="2:4", density=0.5)),
        ("--pattern 1:4 --retrain 0.25", "prune", Prune(pattern="1:4")),
        ("--scoremode train", "prune", Prune(score_mode="train")),
        ("--scoreaugment no", "prune", Prune(augment=False)),
    ],
)
def test_flags_and_aliases(words, field, value):
    assert getattr(recipe_from(*words.split()), field) == value


def any_recipe(seed):
    """A recipe with every field drawn at random."""
    dice = random.Random(seed)

    def maybe(value):
        return dice.choice([None, value])

    pattern = dice.choice(get_args(Pattern))
    free_density = dice.choice([1.0, 0.05, 1 / 3, dice.random() + 1e-12])
    prune = Prune(
        method=dice.choice(get_args(Method)),
        pattern=pattern,
        density=PATTERN_DENSITIES.get(pattern, free_density),
        layerwise=dice.random() < 0.5,
        batch_size=maybe(dice.randint(1, 65536)),
        batches=maybe(dice.randint(1, 1000)),
        score_mode=dice.choice(["eval", "train"]),
        augment=dice.random() < 0.5,
        rounds=maybe(dice.randint(1, 1000)),
    )
    return TrainRecipe(
        model=dice.choice(["VGG16", "ResNet50", "resnet50", "LeNet5"]),
        dataset=dice.choice(["Digits", "CIFAR100", "Folder/my-pets_2"]),
        prune=maybe(prune),
        epochs=dice.randint(1, 10_000),
        batch_size=dice.randint(2, 65536),
        lr=dice.choice([0.1, 100.0, 1e-7, dice.random()]),
        momentum=dice.choice([0, 0.9, dice.random()]),
        weight_decay=dice.choice([0, 5e-4, dice.random() * 1e-9]),
        schedule=dice.choice(["step", "cosine", "onecycle"]),
        step=dice.randint(1, 10_000),
        gamma=1 - dice.random(),
        label_smoothing=dice.choice([0, dice.random()]),
        augment=dice.choice([None, True, False]),
        train_images=maybe(dice.randint(2, 10**9)),
        validation=dice.choice([0, dice.randint(1, 10**9)]),
        seed=dice.choice([0, 2**63 - 1, dice.randrange(2**63)]),
        device=dice.choice(["auto", "cpu", "cuda:3", "mps"]),
    )


WITHOUT_SCORING_IMAGES = (
    "synflow",
    "magnitude",
    "channel-magnitude",
    "erk",
    "uniform+",
    "random",
)


def without_idle_fields(recipe):
    """The same recipe with the defaults of all settings that change nothing in its run."""
    values = recipe.model_dump()
    if recipe.schedule != "step":
        values |= {"step": 20, "gamma": 0.1}
    prune = values["prune"]
    if prune and prune["method"] not in ("iterative-snip", "force", "synflow"):
        prune["rounds"] = None
    if prune and prune["method"] in WITHOUT_SCORING_IMAGES:
        prune |= {"batch_size": None, "batches": None, "score_mode": "eval", "augment": True}
    return TrainRecipe(**values)


@pytest.mark.parametrize("seed", range(60))
def test_the_command_of_a_recipe_makes_that_recipe(seed):
    recipe = any_recipe(seed)
    words = shlex.split(train.train_command(recipe))
    assert words[:4] == ["python", "-m", "core", "train"]
    assert recipe_from(*words[4:]) == without_idle_fields(recipe)


def test_the_command_of_the_defaults_is_the_originals():
    assert (
        train.train_command(TrainRecipe())
        == "python -m core train --model VGG16 --dataset CIFAR10 --prunetype False --lr 0.1"
        " --epochs 70 --weightdecay 0.0005 --step 20 --batchsize 128 --retrain 0.05"
    )


def test_every_setting_has_a_flag():
    options = set(train._parser(train.PROGRAM)._option_string_actions)
    nested = {f"prune.{name}" for name in Prune.model_fields}
    assert set(train.TRAIN_FLAGS) == (set(TrainRecipe.model_fields) - {"kind", "prune"}) | nested
    assert set(train.TRAIN_FLAGS.values()) <= options


# -- wrong words --


@pytest.mark.parametrize(
    ("words", "flag", "rest"),
    [
        ("--retrain 5", "--retrain", "must be in (0, 1], got 5.0"),
        ("--retain 0", "--retrain", "got 0.0"),
        ("--lr abc", "--lr", "'abc'"),
        ("--lr nan", "--lr", "got nan"),
        ("--lr -1", "--lr", "must be in (0, 100]"),
        ("--epochs 0", "--epochs", "got 0"),
        ("--epochs 1.5", "--epochs", "'1.5'"),
        ("--batchsize 1", "--batchsize", "got 1"),
        ("--model NoNet", "--model", "must be one of VGG16"),
        ("--model =", "--model", "expected one argument"),
        (
            "--dataset Nothing",
            "--dataset",
            "must be one of Digits, CIFAR10, CIFAR100, got 'Nothing'",
        ),
        ("--prunetype maybe", "--prunetype", "got 'maybe'"),
        ("--method best", "--method", "got 'best'"),
        ("--schedule linear", "--schedule", "got 'linear'"),
        ("--device gpu", "--device", "must be auto, cpu, cuda, cuda:1"),
        ("--weightdecay -0.1", "--weightdecay", "got -0.1"),
        ("--momentum 1", "--momentum", "got 1.0"),
        ("--step 0", "--step", "got 0"),
        ("--gamma 2", "--gamma", "got 2.0"),
        ("--seed -1", "--seed", "got -1"),
        ("--labelsmoothing 1", "--labelsmoothing", "got 1.0"),
        ("--trainimages 1", "--trainimages", "got 1"),
        ("--augment perhaps", "--augment", "'perhaps'"),
        ("--scorebatch 0", "--scorebatch", "got 0"),
        ("--scorebatches 0", "--scorebatches", "got 0"),
        ("--rounds 0", "--rounds", "got 0"),
        ("--nonsense 3", "--nonsense", ""),
        ("--resume ../x", "--resume", "is not a run's id"),
        ("--resume 0123456789", "--resume", "There is no run"),
        ("--dense --retrain 0.3", "--retrain", "--dense and --retrain exclude each other"),
        ("--dense --prunetype False", "--prunetype", "a dense network is not pruned"),
        ("--dense --method snip", "--method", "a dense network is not pruned"),
        ("--dense --rounds 3", "--rounds", "--dense and --rounds exclude each other"),
        ("--rounds 3", "--rounds", "has no effect with --method snip, which scores once"),
        ("--rounds 3 --method magnitude", "--rounds", "no effect with --method magnitude"),
        ("--rounds 3 --method random", "--rounds", "has no effect with --method random"),
        ("--scorebatch 9 --method synflow", "--scorebatch", "--method synflow, which scores w"),
        ("--scorebatches 9 --method magnitude", "--scorebatches", "with --method magnitude"),
        ("--scoreaugment no --method random", "--scoreaugment", "effect with --method random"),
        ("--scoremode eval --method synflow", "--scoremode", "effect with --method synflow"),
        ("--scoremode train --method random", "--scoremode", "effect with --method random"),
        ("--rounds 3 --method grasp", "--rounds", "with --method grasp, which scores once"),
        ("--scorebatch 9 --method erk", "--scorebatch", "with --method erk, which scores without"),
        ("--method erk --prunetype True", "--prunetype", "must be False with --method erk, which"),
        ("--prunetype layerwise --method uniform+", "--prunetype", "with --method uniform+, which"),
        ("--pattern 2:4 --retrain 0.3", "--retrain", "must be 0.5 with the pattern 2:4, or left"),
        ("--pattern 3:4", "--pattern", "must be 'free', '2:4' or '1:4', got '3:4'"),
        ("--pattern 2:4 --method erk", "--pattern", "with --method erk, which sets the density"),
        ("--pattern 1:4 --method synflow", "--pattern", "whose rounds before the last one know"),
        ("--pattern 2:4 --method channel-snip", "--pattern", "which cuts whole channels, got 2:4"),
        ("--pattern 2:4 --prunetype True", "--prunetype", "must be False with --pattern 2:4"),
        ("--gamma 0.5 --schedule cosine", "--gamma", "no effect with --schedule cosine: only"),
        ("--step 20 --schedule onecycle", "--step", "has no effect with --schedule onecycle"),
        ("--dense --step 2 --schedule cosine", "--step", "no effect with --schedule cosine"),
        ("--resume 0123456789 --lr 0.1", "--resume", "its own settings, so it takes no --lr"),
        ("--resume 0123456789 --dense --name a", "--resume", "it takes no --dense, --name"),
        ("--resume 0123456789 --retain 0.05", "--resume", "it takes no --retrain"),
        ("--dataset Digits --trainimages 1438", "--trainimages", "must be at most 1,437"),
        ("--dataset Digits --batchsize 1438", "--batchsize", "must be at most 1,437"),
        ("--dataset Digits --trainimages 20 --batchsize 21", "--batchsize", "at most 20"),
        ("--dataset Digits --validation 1000 --batchsize 438", "--batchsize", "at most 437"),
        ("--dataset Digits --model inception_v3", "--model", "takes images of at least"),
        ("--device cuda:99", "--device", "The device cuda:99 was requested"),
        ("--device mps", "--device", "The device mps was requested"),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_its_flag(words, flag, rest, capsys, tmp_path):
    code = exit_code(train.main, words.split())
    out, err = capsys.readouterr()
    assert code == 2
    assert out == ""
    assert err.count("\n") == 1
    assert flag in err
    assert rest in err
    assert not (tmp_path / "runs").exists()


def test_the_original_command_line_accepts_its_own_flag_where_it_is_idle(
    store, digits, toy, capsys
):
    assert baseline.main([*QUICK, "--step", "20", "--schedule", "cosine"]) == 0
    assert baseline.main([*QUICK, "--gamma", "0.5", "--schedule", "cosine"]) == 2
    assert "python -m core.baseline: --gamma has no effect" in capsys.readouterr().err
    assert len(store.list()) == 1


def test_a_runs_folder_that_cannot_be_made_names_the_flag(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    assert train.main([*QUICK, "--runs-dir", str(tmp_path / "file")]) == 2
    err = capsys.readouterr().err
    assert "--runs-dir" in err
    assert err.count("\n") == 1


# -- runs --


def test_the_last_line_says_how_accurate_it_is_and_whether_it_guesses(store, digits, toy, capsys):
    arguments = [*QUICK, "--lr", "1e-9", "--runs-dir", str(store.root), "--validation", "100"]
    assert train.main(arguments) == 0
    (run,) = store.list()
    summary = run.status.summary
    assert summary is not None
    last = capsys.readouterr().out.splitlines()[-1]
    interval = interval_text(summary.test_accuracy, 360)
    assert f"test accuracy {summary.test_accuracy:.2%} ({interval})" in last
    assert summary.guessing
    assert "no better than guessing (10% for 10 classes)" in last
    assert (summary.best_by, run.status.best_by) == ("validation", "validation")


def test_json_ends_standard_output_with_one_object(store, digits, toy, capsys):
    words = ["--json", "--name", "mine", "--tag", "paper", "Base", "--runs-dir", str(store.root)]
    assert train.main([*QUICK, *words]) == 0
    out, err = capsys.readouterr()
    found = json.loads(out)
    (run,) = store.list()
    assert list(found) == KEYS
    assert found == {"run_id": run.id} | run.status.summary.to_dict()
    assert (found["model"], found["dataset"], found["density"], found["epochs"]) == (
        "LeNet5",
        "Digits",
        0.2,
        2,
    )
    assert found["kept"] == round(0.2 * found["prunable"])
    assert (run.name, run.tags) == ("mine", ("paper", "Base"))
    assert "Epoch 2/2" in err


def test_plain_lines_where_nobody_watches(store, digits, toy, capsys):
    assert train.main(QUICK) == 0
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines if line.startswith("Epoch")] == [
        "Epoch 1/2",
        "Epoch 2/2",
    ]
    assert lines[-1].startswith("Finished: test accuracy ")
    assert err == ""
    assert "\r" not in out


def test_a_bar_on_a_terminal(store, digits, toy, monkeypatch, capsys):
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    monkeypatch.setattr("tqdm.std.tqdm.monitor_interval", 0)
    assert train.main([*QUICK, "--epochs", "1"]) == 0
    out = capsys.readouterr().out
    assert "\r" in out
    assert "Epoch 1 of 1" in out
    assert "loss=" in out


def test_a_failed_run_is_exit_1_and_its_sentence(store, digits, monkeypatch, capsys):
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)
    assert train.main([*QUICK, "--lr", "100", "--epochs", "50", "--json"]) == 1
    (run,) = store.list()
    out, err = capsys.readouterr()
    assert (run.state, out) == ("failed", "")
    assert "the loss is NaN or infinite" in run.status.message
    assert run.status.message in err.splitlines()[-1]


def test_a_data_folder_that_is_a_file_names_the_flag(store, capsys, tmp_path):
    (tmp_path / "file").write_text("")
    for folder in (tmp_path / "file", tmp_path / "file" / "data"):
        assert train.main([*QUICK, "--data-dir", str(folder)]) == 2
        err = capsys.readouterr().err
        assert f"--data-dir must be a folder, got {folder}" in err
        assert err.count("\n") == 1
    assert not store.root.exists()


@pytest.mark.skipif(
    os.name == "nt" or os.geteuid() == 0, reason="root and Windows write everywhere"
)
def test_a_data_folder_that_cannot_be_written_names_the_flag(store, capsys, tmp_path):
    (tmp_path / "data").mkdir(mode=0o500)
    words = ["--model", "LeNet5", "--data-dir", str(tmp_path / "data" / "new")]
    assert train.main(words) == 2
    assert "--data-dir must be a folder that can be written" in capsys.readouterr().err
    assert not store.root.exists()


def test_the_help_gives_a_default_in_words_that_the_flag_takes(capsys):
    with pytest.raises(SystemExit):
        train.main(["--help"])
    text = " ".join(capsys.readouterr().out.split())
    assert "Otherwise as they are. [yes]" in text


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_a_data_folder_that_cannot_be_made_names_the_flag(store, capsys):
    assert train.main(["--model", "LeNet5", "--data-dir", "/proc/nothing"]) == 2
    assert "--data-dir must be a folder that can be written" in capsys.readouterr().err
    assert not store.root.exists()


def test_resume_names_what_the_run_needs_and_this_machine_lacks(store, digits, capsys):
    elsewhere = recipe_from(*QUICK[:-1], "cuda:99")
    run = store.create(elsewhere)
    write_status(run.path, Status(state="interrupted"))
    assert train.main(["--resume", run.id]) == 2
    assert "--resume: The device cuda:99 was requested" in capsys.readouterr().err
    assert store.get(run.id).state == "interrupted"


@pytest.mark.parametrize("state", ["interrupted", "failed", "cancelled", "created"])
def test_resume_continues_a_stopped_run(store, digits, toy, capsys, state):
    run = store.create(recipe_from(*QUICK))
    write_status(run.path, Status(state=state))
    (run.path / "cancel").touch()
    assert train.main(["--resume", run.id, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["run_id"] == run.id
    assert len(store.list()) == 1


def test_resume_leaves_a_finished_run_alone(store, capsys):
    run = store.create(recipe_from(*QUICK))
    write_status(run.path, Status(state="finished"))
    assert train.main(["--resume", run.id]) == 2
    assert capsys.readouterr().err.endswith(f"{run.id} is finished\n")


def test_resume_leaves_a_working_worker_alone(store, capsys):
    run = store.create(recipe_from(*QUICK))
    write_status(run.path, Status(state="running", epoch=1))
    before = (run.path / "status.json").read_bytes()
    with FileLock(run.path / "lock"):
        assert train.main(["--resume", run.id]) == 2
    assert capsys.readouterr().err.endswith(f"{run.id} is running\n")
    assert (run.path / "status.json").read_bytes() == before


def test_the_command_without_streamlit_interrupted_and_resumed(store, digits):
    """A real process, Ctrl-C, and another that finishes what the first began."""
    script = (
        "import sys; sys.modules['streamlit'] = None; from core.baseline import main;"
        " sys.exit(main())"
    )

    def command(*words):
        options = ["--json", "--runs-dir", str(store.root)]
        return subprocess.Popen(
            [sys.executable, "-c", script, *words, *options],
            cwd=ROOT,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    if os.name == "nt":
        pytest.skip("Windows sends Ctrl-C to all processes of a console")
    process = command("--model", "=", "LeNet5", *QUICK[2:], "--epochs", "8", "--trainimages", "300")
    run = until(lambda: store.list() and store.list()[0])
    until(lambda: store.get(run.id).status.epoch)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out) == (1, "")
    assert (
        err.splitlines()[-1] == "The run was interrupted. Stopped by a signal. "
        f"Continue with: python -m core.baseline --resume {run.id}"
    )
    assert store.get(run.id).state == "interrupted"
    process = command("--resume", run.id)
    out, err = process.communicate()
    assert process.returncode == 0, err
    assert list(json.loads(out.splitlines()[-1])) == KEYS
    assert "Continued in epoch" in err
    assert store.get(run.id).state == "finished"


def test_help_is_about_every_flag(capsys):
    with pytest.raises(SystemExit) as end:
        train.main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in train.TRAIN_FLAGS.values())
