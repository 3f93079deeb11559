"""The command for data sets: what it prints, its JSON objects, and its exit codes."""

import io
import json
import shutil
import subprocess
import sys

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.commands import data
from core.commands.data import main
from core.data import DATASETS, is_ready
from core.events import Note, Progress
from tests.exit_code import exit_code

DIGITS_FACTS = {
    "name": "Digits",
    "classes": 10,
    "train_images": 1437,
    "test_images": 360,
    "side": 32,
    "download": 0,
    "description": "Handwritten digits from scikit-learn; nothing to download.",
    "state": "ready",
}


def run(capsys, *words):
    """Exit code, standard output and standard error."""
    code = exit_code(main, [str(word) for word in words])
    return code, *capsys.readouterr()


@pytest.fixture
def root(tmp_path, digits):
    """A data folder in which Digits are ready, and nothing else is."""
    return shutil.copytree(digits, tmp_path / "data")


@pytest.fixture
def pictures(tmp_path):
    """A folder of images in two classes."""
    generator = np.random.default_rng(0)
    for name in ("cat", "dog"):
        folder = tmp_path / "pets" / name
        folder.mkdir(parents=True)
        for number in range(6):
            pixels = generator.integers(0, 256, (40, 40, 3), np.uint8)
            Image.fromarray(pixels).save(folder / f"{number}.png")
    return tmp_path / "pets"


def test_list_has_a_line_for_every_data_set(root, capsys):
    code, out, err = run(capsys, "list", "--data-dir", root)
    assert (code, err) == (0, "")
    lines = out.splitlines()
    assert [line.split()[0] for line in lines] == list(DATASETS)
    assert "ready" in lines[0]
    assert "download" in lines[1]


def test_list_as_json(root, capsys):
    code, out, err = run(capsys, "list", "--data-dir", root, "--json")
    assert code == 0
    assert len(err.splitlines()) == len(DATASETS)
    assert out.count("\n") == 1
    result = json.loads(out)
    assert list(result) == ["datasets"]
    assert [facts["name"] for facts in result["datasets"]] == list(DATASETS)
    assert result["datasets"][0] == DIGITS_FACTS
    assert [facts["state"] for facts in result["datasets"][1:]] == ["download", "download"]


def test_prepare_prints_its_progress(tmp_path, capsys):
    code, out, err = run(capsys, "prepare", "Digits", "--data-dir", tmp_path)
    assert (code, err) == (0, "")
    assert "1,797 of 1,797 images" in out


def test_prepare_as_json(tmp_path, capsys):
    code, out, err = run(capsys, "prepare", "Digits", "--data-dir", tmp_path, "--json")
    assert code == 0
    assert "1,797 of 1,797 images" in err
    assert out.count("\n") == 1
    assert json.loads(out) == DIGITS_FACTS


def test_the_folder_comes_from_the_environment(tmp_path, monkeypatch):
    monkeypatch.setenv("SECATEUR_DATA", str(tmp_path / "there"))
    assert main(["prepare", "Digits"]) == 0
    assert is_ready("Digits", tmp_path / "there")


def test_import_and_remove(pictures, root, capsys):
    code, out, err = run(
        capsys, "import", pictures, "--name", "pets", "--side", 16, "--data-dir", root
    )
    assert (code, err) == (0, "")
    assert "Folder/pets has" in out
    assert is_ready("Folder/pets", root)
    code, out, err = run(capsys, "remove", "Folder/pets", "--data-dir", root)
    assert (code, out, err) == (0, "", "")
    assert not (root / "Folder" / "pets").exists()


def test_import_an_npz(tmp_path, root, capsys):
    images = np.random.default_rng(0).integers(0, 256, (12, 8, 8), np.uint8)
    np.savez(tmp_path / "a.npz", images=images, labels=np.arange(12) % 2)
    code, out, err = run(
        capsys, "import", tmp_path / "a.npz", "--name", "arrays", "--side", 8, "--data-dir", root
    )
    assert (code, err) == (0, "")
    assert "Folder/arrays has" in out
    assert is_ready("Folder/arrays", root)


def test_import_shards_of_parquet(pictures, tmp_path, root, capsys):
    paths = []
    for split in ("train", "test"):
        files = sorted(pictures.glob("*/*.png"))
        table = {"image": [path.read_bytes() for path in files]}
        table["label"] = [path.parent.name for path in files]
        paths.append(tmp_path / f"{split}-00000-of-00001.parquet")
        pq.write_table(pa.table(table), paths[-1])
    code, out, err = run(capsys, "import", *paths, "--name", "shards", "--data-dir", root)
    assert (code, err) == (0, "")
    assert "Folder/shards has 12 training and 12 test images in 2 classes." in out


def test_a_file_that_is_refused_is_a_sentence(tmp_path, root, capsys):
    np.savez(tmp_path / "a.npz", images=np.zeros((4, 8, 8)), labels=np.array([0, 1, -1, 0]))
    code, _, err = run(capsys, "import", tmp_path / "a.npz", "--name", "arrays", "--data-dir", root)
    assert code == 1
    assert err.startswith("error: ")
    assert "has the label -1" in err
    assert not (root / "Folder" / "arrays").exists()


def test_import_and_remove_as_json(pictures, root, capsys):
    code, out, err = run(
        capsys, "import", pictures, "--name", "pets", "--side", 16, "--data-dir", root, "--json"
    )
    assert code == 0
    assert "Folder/pets has" in err
    result = json.loads(out)
    assert result["train_images"] + result["test_images"] == 12
    assert result["test_images"] > 0
    assert (result["name"], result["classes"], result["side"], result["state"]) == (
        "Folder/pets",
        2,
        16,
        "ready",
    )
    code, out, err = run(capsys, "remove", "Folder/pets", "--data-dir", root, "--json")
    assert (code, json.loads(out), err) == (0, {"removed": "Folder/pets"}, "")


@pytest.mark.parametrize(
    ("words", "start"),
    [
        (["prepare", "Folder/damaged"], "error: "),
        (["remove", "Folder/none"], "error: name must be one of"),
        (["remove", "Digits"], "error: name must be one of"),
        (["import", "gone.zip", "--name", "pets"], "error: source must be a folder or a zip file"),
    ],
)
@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_a_failure_is_one_line_and_exit_1(root, capsys, words, start, json_flag):
    (root / "Folder" / "damaged").mkdir(parents=True)
    code, out, err = run(capsys, *words, "--data-dir", root, *json_flag)
    assert (code, out, err.count("\n")) == (1, "", 1)
    assert err.startswith(start)


@pytest.mark.parametrize("words", [[], ["import"], ["import", "x.zip"], ["prepare"], ["export"]])
def test_wrong_arguments_are_one_line_and_exit_2(capsys, words):
    code, out, err = run(capsys, *words)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize("json_flag", [[], ["--json"]])
def test_the_name_of_no_data_set_is_a_wrong_argument(root, capsys, json_flag):
    code, out, err = run(capsys, "prepare", "Nope", "--data-dir", root, *json_flag)
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert "dataset must be one of Digits, CIFAR10, CIFAR100, got 'Nope'" in err


def test_an_interruption_is_exit_1(monkeypatch, capsys):
    def interrupt(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(data, "prepare", interrupt)
    code, out, err = run(capsys, "prepare", "Digits", "--json")
    assert (code, out, err) == (1, "", "stopped; nothing half-written was left\n")


def test_progress_is_one_line_a_second_and_the_last_of_every_stage(monkeypatch):
    now = 100.0
    monkeypatch.setattr(data.time, "monotonic", lambda: now)

    def events():
        nonlocal now
        for seconds, done in [(0.0, 1), (0.5, 2), (1.2, 3), (1.3, 4)]:
            now = 100.0 + seconds
            yield Progress("One", done, 4, "images")
        yield Progress("Two", 1, 9, "images")
        yield Progress("Two", 2, 9, "images")
        yield Note("A note.")
        yield Progress("Two", 3, 9, "images")
        yield Progress("Two", 4, 9, "images")

    out = io.StringIO()
    data._print_events(events(), out)
    assert out.getvalue().splitlines() == [
        "One: 1 of 4 images",
        "One: 3 of 4 images",
        "One: 4 of 4 images",
        "Two: 1 of 9 images",
        "Two: 2 of 9 images",
        "A note.",
        "Two: 3 of 9 images",
        "Two: 4 of 9 images",
    ]


def test_the_short_spelling_runs_the_same_command(root):
    command = [sys.executable, "-m", "core.data", "list", "--data-dir", str(root), "--json"]
    process = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(process.stdout)["datasets"][0] == DIGITS_FACTS
