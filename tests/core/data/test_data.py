"""Data sets as the rest of the program uses them: the registry, the files, Digits and subsets."""

import errno
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from core.data import (
    DATASETS,
    ImageSet,
    available,
    digits,
    disk,
    draft,
    is_ready,
    load,
    prepare,
    subset,
)
from core.errors import UserError
from core.events import Note, Progress


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    load("Digits", root)
    return root


@pytest.fixture
def root(prepared, tmp_path):
    """A data folder of one's own in which Digits are ready."""
    return shutil.copytree(prepared, tmp_path / "data")


def hidden(root):
    """What a preparation left behind, but for its lock files."""
    return [path for path in root.rglob(".*") if path.suffix != ".lock"]


def test_importing_core_data_imports_neither_torch_nor_streamlit_nor_sklearn():
    code = (
        "import sys, core.data, core.commands.data; print({'torch', 'streamlit', 'sklearn'} &"
        " set(sys.modules))"
    )
    assert (
        subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, check=True
        ).stdout
        == "set()\n"
    )


def test_digits_are_scikit_learns_enlarged_and_split(root):
    dataset, original = load("Digits", root), load_digits()
    assert (len(dataset.train), len(dataset.test), dataset.side, dataset.augment) == (
        1437,
        360,
        32,
        False,
    )
    assert dataset.classes == tuple("0123456789")
    is_test = np.zeros(1797, bool)
    is_test[sorted(range(1797), key=lambda i: original.target[i])[::5]] = True
    for part, rows in ((dataset.train, ~is_test), (dataset.test, is_test)):
        np.testing.assert_array_equal(part.labels, original.target[rows])
        small = Image.fromarray(np.rint(original.images[rows][7] / 16 * 255).astype(np.uint8))
        expected = np.asarray(small.resize((32, 32), Image.Resampling.BICUBIC))
        for channel in part.images[7]:
            np.testing.assert_array_equal(channel, expected)
    everyone, tested = np.bincount(original.target), np.bincount(dataset.test.labels)
    assert np.all(np.abs(tested - everyone / 5) < 1)


def test_mean_and_deviation_are_those_of_the_training_images(root):
    dataset = load("Digits", root)
    values = dataset.train.images / 255.0
    np.testing.assert_allclose(dataset.mean, values.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, values.std(axis=(0, 2, 3)), rtol=1e-9)


def test_digits_where_the_package_keeps_its_file_elsewhere(monkeypatch):
    expected = digits.digit_images()
    monkeypatch.setattr(digits, "find_spec", lambda name: None)
    for one, other in zip(expected, digits.digit_images(), strict=True):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS])
def test_digits_need_no_writable_disk(tmp_path, monkeypatch, root, code):
    def refuse(folder):
        raise OSError(code, "no", str(folder))

    expected = load("Digits", root)
    monkeypatch.setattr(draft, "try_lock", refuse)
    events = list(prepare("Digits", tmp_path / "elsewhere"))
    assert [type(event) for event in events] == [Note]
    dataset = load("Digits", tmp_path / "elsewhere")
    np.testing.assert_array_equal(dataset.train.images, expected.train.images)
    np.testing.assert_array_equal(dataset.test.labels, expected.test.labels)
    assert (dataset.mean, dataset.std, dataset.classes) == (
        expected.mean,
        expected.std,
        expected.classes,
    )
    assert not (tmp_path / "elsewhere").exists()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="this system has no /proc")
def test_digits_need_no_folder_that_can_be_made():
    assert [type(event) for event in prepare("Digits", "/proc/nothing")] == [Note]
    assert len(load("Digits", "/proc/nothing").train) == 1437


def test_an_unwritable_folder_is_an_os_error_that_names_it(tmp_path, monkeypatch):
    monkeypatch.setattr(draft.os, "access", lambda path, mode: False)
    with pytest.raises(PermissionError) as caught:
        load("CIFAR10", tmp_path)
    assert caught.value.filename == str(tmp_path)


def test_maps_are_read_only(root):
    dataset = load("Digits", root)
    assert isinstance(dataset.train.images, np.memmap)
    with pytest.raises(ValueError, match="read-only"):
        dataset.train.images[0] = 0


def test_preparing_yields_progress_once_and_then_nothing(tmp_path):
    assert not is_ready("Digits", tmp_path)
    last = list(prepare("Digits", tmp_path))[-1]
    assert isinstance(last, Progress)
    assert (last.done, last.total, last.unit) == (1797, 1797, "images")
    assert is_ready("Digits", tmp_path)
    assert list(prepare("Digits", tmp_path)) == []
    assert hidden(tmp_path) == []


def test_what_a_killed_process_left_is_cleared_away(tmp_path):
    (tmp_path / ".preparing-Digits").mkdir()
    (tmp_path / ".preparing-Digits" / "train_images.npy").write_bytes(b"half")
    load("Digits", tmp_path)
    assert hidden(tmp_path) == []


@pytest.mark.parametrize(
    "name", ["MNIST", "", "cifar10", "Folder/none", "Folder/../Digits", "../Digits", "Folder/"]
)
def test_an_unknown_name_is_answered_with_the_known_ones(root, name):
    for function in (load, is_ready, lambda name, root: list(prepare(name, root))):
        with pytest.raises(UserError, match="Digits, CIFAR10, CIFAR100, got"):
            function(name, root)


def overwrite(name, content):
    return lambda folder: (folder / name).write_bytes(content)


def change(name, array):
    return lambda folder: np.save(folder / name, array, allow_pickle=True)


def edit_meta(**values):
    def edit(folder):
        meta = json.loads((folder / "meta.json").read_text())
        (folder / "meta.json").write_text(json.dumps(meta | values))

    return edit


def cut(name, keep):
    def shorten(folder):
        data = (folder / name).read_bytes()
        (folder / name).write_bytes(data[:keep] if keep else data + b"x")

    return shorten


DAMAGES = {
    **{
        f"no {name}": lambda folder, name=name: (folder / name).unlink()
        for name in ("meta.json", *(f"{array}.npy" for array in disk.ARRAYS))
    },
    "cut images": cut("train_images.npy", 5000),
    "cut header": cut("test_images.npy", 20),
    "longer labels": cut("test_labels.npy", 0),
    "empty file": overwrite("test_labels.npy", b""),
    "a zip": overwrite("train_images.npy", b"PK\x03\x04" + bytes(100)),
    "text": overwrite("train_images.npy", b"hello"),
    "broken header": overwrite("train_images.npy", b"\x93NUMPY\x01\x00\x10\x00{'descr': (((((("),
    "pickled": change("train_labels.npy", np.array([print, 1], object)),
    "one label too few": change("train_labels.npy", np.zeros(1436, np.int64)),
    "labels of another type": change("test_labels.npy", np.zeros(360, np.int32)),
    "a label too large": change("test_labels.npy", np.full(360, 10)),
    "a label below zero": change("test_labels.npy", np.full(360, -1)),
    "flat labels": change("test_labels.npy", np.int64(3)),
    "float images": change("test_images.npy", np.zeros((360, 3, 32, 32), np.float32)),
    "grey images": change("test_images.npy", np.zeros((360, 1, 32, 32), np.uint8)),
    "oblong images": change("test_images.npy", np.zeros((360, 3, 32, 31), np.uint8)),
    "smaller test images": change("test_images.npy", np.zeros((360, 3, 16, 16), np.uint8)),
    "turned images": change("test_images.npy", np.zeros((32, 32, 3, 360), np.uint8).T),
    "no images": lambda folder: (
        change("test_images.npy", np.zeros((0, 3, 32, 32), np.uint8))(folder),
        change("test_labels.npy", np.zeros(0, np.int64))(folder),
    ),
    "no json": overwrite("meta.json", b"{"),
    "no text": overwrite("meta.json", b"\xff\xfe\x00"),
    "another format": edit_meta(format=2),
    "one class": edit_meta(classes=["0"]),
    "no deviation": edit_meta(std=[0, 0, 0]),
    "two means": edit_meta(mean=[0.5, 0.5]),
    "deviation of infinity": edit_meta(std=[1e999, 0.5, 0.5]),
    "mean of infinity": edit_meta(mean=[1e999, 0.5, 0.5]),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_set_is_told_or_prepared_again(root, damage):
    shutil.copytree(root / "Digits", root / "Folder" / "mine")
    for folder in (root / "Digits", root / "Folder" / "mine"):
        DAMAGES[damage](folder)
    assert not is_ready("Folder/mine", root)
    with pytest.raises(UserError, match="damaged") as caught:
        load("Folder/mine", root)
    assert str(root / "Folder" / "mine") in str(caught.value)
    assert "delete" in str(caught.value)
    assert "\n" not in str(caught.value)

    (root / "Digits" / "notes.txt").write_text("of the user")
    assert not is_ready("Digits", root)
    assert len(load("Digits", root).train) == 1437
    assert (root / "Digits" / "notes.txt").read_text() == "of the user"
    assert hidden(root) == []


def test_available_tells_the_state(tmp_path, root):
    states = {choice.name: choice.state for choice in available(tmp_path)}
    assert states == {"Digits": "bundled", "CIFAR10": "download", "CIFAR100": "download"}
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"?")
    assert {choice.name: choice.state for choice in available(tmp_path)}["CIFAR10"] == "on disk"

    shutil.copytree(root / "Digits", root / "Folder" / "mine")
    shutil.copytree(root / "Digits", root / "Folder" / "broken")
    (root / "Folder" / "broken" / "meta.json").unlink()
    choices = available(root)
    assert [choice.name for choice in choices] == [*DATASETS, "Folder/mine"]
    mine = choices[-1].info
    assert (mine.classes, mine.train_images, mine.test_images, mine.side) == (10, 1437, 360, 32)
    assert choices[0].state == choices[-1].state == "ready"


@pytest.mark.parametrize("info", DATASETS.values(), ids=str)
def test_registry_entries_are_plausible(info):
    assert DATASETS[info.name] is info
    assert info.description.endswith(".")
    assert info.classes > 1


def test_registry_agrees_with_the_digits_themselves(root):
    dataset, info = load("Digits", root), DATASETS["Digits"]
    assert (len(dataset.classes), len(dataset.train), len(dataset.test), dataset.side) == (
        info.classes,
        info.train_images,
        info.test_images,
        info.side,
    )


@pytest.mark.parametrize("moment", [None, "commit"])
def test_a_full_disk_is_an_os_error_and_leaves_nothing(tmp_path, monkeypatch, moment):
    def full(*args, **kwargs):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(draft._ArrayFile, "write" if moment is None else "finish", full)
    with pytest.raises(OSError, match="No space") as caught:
        load("Digits", tmp_path)
    assert caught.value.errno == errno.ENOSPC
    assert hidden(tmp_path) == []
    assert not (tmp_path / "Digits").exists()


def test_mean_and_std_of_hand_made_images():
    images = np.zeros((2, 3, 1, 1), np.uint8)
    images[1, 0], images[:, 1] = 255, 51
    mean, std = disk.pixel_mean_and_std(images)
    np.testing.assert_allclose(mean, (0.5, 0.2, 0.0))
    np.testing.assert_allclose(
        std, (0.5, 0.5 / 255, 0.5 / 255)
    )  # constant channels get half a grey level


def toy_set(counts):
    labels = np.random.default_rng(1).permutation(np.repeat(np.arange(len(counts)), counts))
    images = np.zeros((len(labels), 3, 1, 1), np.uint8)
    images[:, 0, 0, 0], images[:, 1, 0, 0] = np.divmod(np.arange(len(labels)), 256)
    return ImageSet(images, labels)


def numbers(images):
    return (images.images[:, 0, 0, 0].astype(np.int64) * 256 + images.images[:, 1, 0, 0]).tolist()


@pytest.mark.parametrize(
    ("counts", "n", "expected"),
    [
        ((100, 100, 100, 100), 40, [10, 10, 10, 10]),
        ((100, 3, 100, 100), 43, [13, 3, 13, 14]),  # in any order, but for the short class
        ((5, 5), 1, [0, 1]),
        ((2, 200), 50, [2, 48]),
    ],
)
def test_subset_is_balanced_as_far_as_there_are_images(counts, n, expected):
    chosen = subset(toy_set(counts), n, seed=3)
    found = np.bincount(chosen.labels, minlength=len(counts))
    assert len(chosen) == n
    assert sorted(found) == sorted(expected)
    assert all(found[i] == count for i, count in enumerate(counts) if count < 5 < n)


def test_subset_is_fixed_ordered_nested_and_random():
    everything = toy_set((200, 200, 200))
    small, large = subset(everything, 50, seed=0), subset(everything, 90, seed=0)
    assert numbers(small) == numbers(subset(everything, 50, seed=0)) == sorted(numbers(small))
    assert set(numbers(small)) < set(numbers(large))
    assert numbers(small) != numbers(subset(everything, 50, seed=1))
    np.testing.assert_array_equal(small.labels, everything.labels[numbers(small)])
    assert subset(everything, 600, seed=0) is everything
    with pytest.raises(ValueError, match="at least 1"):
        subset(everything, 0, seed=0)
