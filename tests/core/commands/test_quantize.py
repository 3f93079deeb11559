"""The command line of quantization: a flag for every setting, and what it promises to scripts."""

import json
import random

import pytest

from core.commands import quantize
from core.compress import codec
from core.compress.affine import Affine
from core.compress.kmeans import Codebook
from core.config import AffineRecipe, KMeansRecipe, TrainRecipe
from core.runs import launch, worker
from core.runs.run import PACKED, Status, write_status
from core.runs.worker import work
from core.training import setup
from tests import eager_worker
from tests.exit_code import exit_code

KEYS = [
    "run_id",
    "parent",
    "model",
    "dataset",
    "kind",
    "test_accuracy",
    "parent_accuracy",
    "float_bytes",
    "packed_bytes",
    "train_seconds",
    "device",
]
LAYERS = {"0.weight": 0, "5.weight": 7}


def recipe_from(*words):
    return quantize.quantize_recipe(quantize._parser().parse_args(list(words)))


@pytest.fixture
def trained(store, digits, monkeypatch):
    """A finished training of a tiny network. The signal handlers of the test process stay."""
    monkeypatch.setattr("core.models.build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(setup, "build", lambda name, classes: eager_worker.network(classes))
    monkeypatch.setattr(worker.Stop, "listen", lambda self: self)
    run = store.create(
        TrainRecipe(model="LeNet5", dataset="Digits", device="cpu", epochs=1, train_images=40)
    )
    for _ in work(run, digits):
        pass
    return store.get(run.id)


# -- words --


@pytest.mark.parametrize(
    ("words", "recipe"),
    [
        ("RUN", KMeansRecipe()),
        ("RUN --clusters 5", KMeansRecipe()),
        ("RUN --bits 8", AffineRecipe()),
        (
            "RUN --epochs 2 --lr 0.02 --batchsize 64 --trainimages 100",
            KMeansRecipe(epochs=2, lr=0.02, batch_size=64, train_images=100),
        ),
        (
            (
                "RUN --init k-means++ --no-keep-zeros --batchnorm --no-recalibrate --rest float16"
                " --seed 3 --device cpu"
            ),
            KMeansRecipe(
                init="k-means++",
                keep_zeros=False,
                batchnorm=True,
                recalibrate=False,
                rest="float16",
                seed=3,
                device="cpu",
            ),
        ),
        ("RUN --keep-zeros --recalibrate", KMeansRecipe(recalibrate=True)),
        ("RUN --layers 0.weight=0 5.weight=7", KMeansRecipe(layers=LAYERS)),
        ("--layers 0.weight=0 5.weight=7 --bits 4 RUN", AffineRecipe(bits=4, layers=LAYERS)),
        (
            "RUN --bits 4 --per-tensor --symmetric --range mse --recalibrate",
            AffineRecipe(bits=4, per_channel=False, symmetric=True, range="mse", recalibrate=True),
        ),
        ("RUN --bits 4 --no-per-channel", AffineRecipe(bits=4, per_channel=False)),
    ],
)
def test_flags(words, recipe):
    assert recipe_from(*words.split()) == recipe
    assert quantize._parser().parse_args(words.split()).run == "RUN"


def test_every_setting_has_a_flag():
    flags = {
        quantize.QUANTIZE_FLAGS[name]
        for kind in (KMeansRecipe, AffineRecipe)
        for name in kind.model_fields
        if name != "kind"
    }
    assert flags == set(quantize.QUANTIZE_FLAGS.values())
    assert flags <= set(quantize._parser()._option_string_actions)


def any_recipe(seed):
    """A recipe with every field drawn at random."""
    dice = random.Random(seed)
    layers = {
        name: dice.choice([0, 2, 8])
        for name in ("conv1.weight", "layer1.0.conv2.weight")
        if dice.random() < 0.5
    }
    common = {
        "batchnorm": dice.random() < 0.5,
        "recalibrate": dice.random() < 0.5,
        "layers": layers,
        "rest": dice.choice(["float32", "float16"]),
        "seed": dice.choice([0, 2**63 - 1]),
        "device": dice.choice(["auto", "cpu", "cuda:3"]),
    }
    if dice.random() < 0.5:
        return AffineRecipe(
            **common,
            bits=dice.randint(2, 8),
            per_channel=dice.random() < 0.5,
            symmetric=dice.random() < 0.5,
            range=dice.choice(["minmax", "mse"]),
        )
    return KMeansRecipe(
        **common,
        clusters=dice.randint(2, 256),
        keep_zeros=dice.random() < 0.5,
        init=dice.choice(["linear", "k-means++", "density", "optimal"]),
        epochs=dice.randint(0, 1000),
        lr=dice.choice([0.01, 10.0, dice.random()]),
        batch_size=dice.randint(2, 65536),
        train_images=dice.choice([None, 2, 10**9]),
    )


@pytest.mark.parametrize("seed", range(60))
def test_the_command_of_a_recipe_makes_that_recipe(seed):
    recipe = any_recipe(seed)
    words = quantize.quantize_command(recipe, "0123456789").split()
    assert words[:5] == ["python", "-m", "core", "quantize", "0123456789"]
    assert recipe_from(*words[4:]) == recipe


def test_the_command_names_only_what_differs():
    assert (
        quantize.quantize_command(KMeansRecipe(), "0123456789")
        == "python -m core quantize 0123456789 --clusters 5"
    )
    assert (
        quantize.quantize_command(AffineRecipe(symmetric=True, layers={"a": 2}), "0123456789")
        == "python -m core quantize 0123456789 --bits 8 --symmetric --layers a=2"
    )


# -- wrong words --


@pytest.mark.parametrize(
    ("words", "start", "rest"),
    [
        ("", "RUN is missing", ""),
        ("0123456789", "RUN: There is no run '0123456789'", ""),
        ("../x", "RUN: '../x' is not a run's id", ""),
        ("RUN --clusters 5 --bits 8", "--clusters and --bits exclude each other", ""),
        ("RUN --bits 8 --init linear", "--init does not go with --bits", ""),
        ("RUN --symmetric", "--symmetric does not go with --clusters", ""),
        ("RUN --clusters 1", "--clusters must be in [2, 256], got 1", ""),
        ("RUN --bits 9", "--bits must be in [2, 8]", ""),
        ("RUN --bits 9.5", "argument --bits", "'9.5'"),
        ("RUN --lr nan", "--lr", "got nan"),
        ("RUN --lr 0", "--lr must be in (0, 10], got 0.0", ""),
        ("RUN --init best", "--init", "got 'best'"),
        ("RUN --rest float8", "--rest", "got 'float8'"),
        ("RUN --device gpu", "--device must be auto, cpu", ""),
        ("RUN --layers conv1.weight", "argument --layers", "takes a layer's name and a number"),
        ("RUN --layers conv1.weight=-1", "argument --layers", "'conv1.weight=-1'"),
        ("RUN --layers a.weight=999", "--layers a.weight must be", "got 999"),
        ("RUN --bits 4 --layers a.weight=1", "--layers a.weight must be", "got 1"),
        ("RUN --batchsize 1", "--batchsize must be in [2, 65536], got 1", ""),
        ("RUN --nonsense", "unrecognized", ""),
        ("--resume 0123456789 --tag a", "--resume continues a run", "it takes no --tag"),
        ("--resume 0123456789", "--resume: There is no run", ""),
    ],
)
def test_a_wrong_argument_is_one_line_that_names_it(words, start, rest, capsys, tmp_path):
    code = exit_code(quantize.main, words.split())
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"python -m core quantize: {start}")
    assert rest in err
    assert not (tmp_path / "runs").exists()


def test_a_run_without_a_result(store, capsys):
    run = store.create(TrainRecipe())
    assert quantize.main([run.id]) == 2
    assert (
        capsys.readouterr().err
        == f"python -m core quantize: “{run.name}” has no result to start from: it is created.\n"
    )


# -- runs --


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        (
            ["--clusters", "4", "--epochs", "1", "--trainimages", "40", "--batchsize", "20"],
            "kmeans",
        ),
        (["--bits", "6"], "affine"),
    ],
)
def test_json_ends_standard_output_with_one_object(store, trained, capsys, words, kind):
    words = [*words, "--device", "cpu", "--name", "mine", "--tag", "paper", "--json"]
    assert quantize.main([trained.id, *words]) == 0
    out, err = capsys.readouterr()
    found, run = json.loads(out), store.list()[0]
    assert list(found) == KEYS
    assert (found["run_id"], found["parent"], found["kind"]) == (run.id, trained.id, kind)
    assert (found["model"], found["dataset"], found["device"], run.name, run.tags) == (
        "LeNet5",
        "Digits",
        "cpu",
        "mine",
        ("paper",),
    )
    assert found["parent_accuracy"] == trained.status.summary.test_accuracy
    assert found["packed_bytes"] == (run.path / PACKED).stat().st_size < found["float_bytes"]
    assert "Quantized " in err
    assert ("Epoch 1/1" in err) == (kind == "kmeans")
    quantized = codec.load(run.path / PACKED).tensors["5.weight"]
    if kind == "kmeans":
        assert isinstance(quantized, Codebook)
        assert len(quantized.centroids) <= 4
    else:
        assert isinstance(quantized, Affine)
        assert quantized.bits == 6


@pytest.mark.parametrize(
    ("layers", "sentence"),
    [
        (
            ["conv9.weight=3"],
            "conv9.weight is not a weight that can be quantized; known are 0.weight, 5.weight.",
        ),
        (["0.weight=0", "5.weight=0"], "Every layer is left out: there is nothing to quantize."),
    ],
)
def test_layers_that_cannot_be_make_no_run(store, trained, capsys, layers, sentence):
    before = store.list()
    assert quantize.main([trained.id, "--layers", *layers, "--device", "cpu"]) == 2
    assert capsys.readouterr().err == f"python -m core quantize: --layers: {sentence}\n"
    assert store.list() == before


def test_resume_continues_a_cancelled_tuning(store, trained, digits, capsys):
    recipe = KMeansRecipe(clusters=4, epochs=2, batch_size=20, train_images=40, device="cpu")
    run = store.create(recipe, parent=trained.id)
    for event in work(run, digits):
        if "Tuning, epoch 2" in getattr(event, "stage", ""):
            launch.cancel(run)
    assert store.get(run.id).state == "cancelled"
    assert quantize.main(["--resume", run.id, "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out)["run_id"] == run.id
    assert "Continued in epoch 2, after 1 batches" in err
    assert "Epoch 1/2" not in err


def test_resume_leaves_a_finished_run_alone(store, trained, capsys):
    write_status(trained.path, Status(state="finished"))
    assert quantize.main(["--resume", trained.id]) == 2
    assert capsys.readouterr().err.endswith(f"{trained.id} is finished\n")


def test_help_is_about_every_flag(capsys):
    with pytest.raises(SystemExit) as end:
        quantize.main(["--help"])
    assert end.value.code == 0
    out = capsys.readouterr().out
    assert all(flag in out for flag in quantize.QUANTIZE_FLAGS.values())
