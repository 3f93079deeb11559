"""Images in .npz files: the arrays as they were, or one sentence on what is wrong with them."""

import io
import itertools
import warnings
import zipfile

import numpy as np
import pytest
from PIL import Image

from core.config import TrainRecipe
from core.data import import_images, load
from core.data.isolated import import_images_isolated
from core.data.labelled import writing
from core.errors import UserError
from core.events import Note, Progress
from tests import eager_worker

SIDE = 9


def pixels(count=12, shape=(SIDE, SIDE, 3), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def labels(count=12, classes=3):
    return np.arange(count) % classes


def imported(path, root, side=SIDE, name="mine", **options):
    """The data set, and the notes."""
    events = import_images([path], root, name, side, **options)
    notes = [event.text for event in events if isinstance(event, Note)]
    return load(f"Folder/{name}", root), notes


def saved(tmp_path, **arrays):
    path = tmp_path / "mine.npz"
    np.savez(path, **arrays)
    return path


def sentence_of(path, root, side=SIDE):
    with pytest.raises(UserError) as caught:
        list(import_images([path], root, "mine", side))
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not (root / "Folder" / "mine").exists()
    assert left_behind(root) == []
    return text


def left_behind(root):
    return [path for path in root.rglob(".*") if path.suffix != ".lock"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


def in_channels_first(images):
    """Images of any layout as (N, 3, H, W)."""
    if images.ndim == 3:
        images = images[..., None]
    if images.shape[3] in (1, 3):
        images = images.transpose(0, 3, 1, 2)
    return np.broadcast_to(images, (len(images), 3, *images.shape[2:]))


NAMES = [
    ("x_train", "y_train", "x_test", "y_test"),  # Keras
    ("train_images", "train_labels", "test_images", "test_labels"),  # MedMNIST
    ("train_images", "train_labels", "val_images", "val_labels"),
    ("X_train", "Y_train", "X_test", "Y_test"),
]


@pytest.mark.parametrize("names", NAMES, ids=[names[0] + names[2] for names in NAMES])
@pytest.mark.parametrize("shape", [(9, 9), (9, 9, 3), (3, 9, 9), (9, 9, 1), (1, 9, 9)])
@pytest.mark.parametrize("compressed", [False, True])
def test_divided_arrays_come_back_as_they_were(tmp_path, root, names, shape, compressed):
    train = pixels(20, shape)
    test = pixels(7, shape, seed=1)
    values = (train, labels(20)[:, None], test, labels(7))
    save = np.savez_compressed if compressed else np.savez
    save(tmp_path / "mine.npz", **dict(zip(names, values, strict=True)))
    dataset, notes = imported(tmp_path / "mine.npz", root)
    np.testing.assert_array_equal(dataset.train.images, in_channels_first(train))
    np.testing.assert_array_equal(dataset.test.images, in_channels_first(test))
    np.testing.assert_array_equal(dataset.train.labels, labels(20))
    np.testing.assert_array_equal(dataset.test.labels, labels(7))
    assert dataset.classes == ("0", "1", "2")
    assert notes == ["Folder/mine has 20 training and 7 test images in 3 classes."]


@pytest.mark.parametrize("kind", ["uint8", "float16", "float32", "float64", ">f4"])
@pytest.mark.parametrize("seed", range(3))
def test_floats_are_rounded_to_the_nearest_level(tmp_path, root, kind, seed):
    images = pixels(12, seed=seed)
    values = images if kind == "uint8" else (images / 255).astype(kind)
    path = saved(tmp_path, x_train=values, y_train=labels(), x_test=images, y_test=labels())
    dataset, notes = imported(path, root)
    np.testing.assert_array_equal(dataset.train.images, in_channels_first(images))
    assert len(notes) == (1 if kind == "uint8" else 2)
    assert kind == "uint8" or "rounded to 8 bits" in notes[1]


def test_mean_and_deviation_are_those_of_the_training_images(tmp_path, root):
    path = saved(tmp_path, x_train=pixels(), y_train=labels(), x_test=pixels(3), y_test=labels(3))
    dataset, _ = imported(path, root)
    values = dataset.train.images / 255
    np.testing.assert_allclose(dataset.mean, values.mean(axis=(0, 2, 3)), rtol=1e-12)
    np.testing.assert_allclose(dataset.std, values.std(axis=(0, 2, 3)), rtol=1e-9)


@pytest.mark.parametrize("names", [("images", "labels"), ("x", "y"), ("arr_0", "arr_1")])
@pytest.mark.parametrize("seed", range(4))
def test_a_part_is_held_out_by_its_content(tmp_path, root, names, seed):
    images = pixels(60, seed=seed)
    path = saved(tmp_path, **{names[0]: images, names[1]: labels(60)})
    dataset, _ = imported(path, root)
    assert len(dataset.train) + len(dataset.test) == 60
    assert set(dataset.test.labels.tolist()) == set(dataset.train.labels.tolist()) == {0, 1, 2}
    written = {image.tobytes() for image in (*dataset.train.images, *dataset.test.images)}
    assert written == {image.tobytes() for image in in_channels_first(images)}
    order = np.random.default_rng(seed).permutation(60)
    path = saved(tmp_path, **{names[0]: images[order], names[1]: labels(60)[order]})
    again, _ = imported(path, root, name="again")
    assert {image.tobytes() for image in again.test.images} == {
        image.tobytes() for image in dataset.test.images
    }


def test_images_of_another_size_are_resized_as_pictures_are(tmp_path, root):
    images = pixels(6, (20, 30, 3))
    path = saved(tmp_path, x_train=images, y_train=labels(6), x_test=images, y_test=labels(6))
    dataset, _ = imported(path, root, side=10)
    picture = Image.fromarray(images[4])
    middle = picture.resize((10, 10), Image.Resampling.BILINEAR, box=(5, 0, 25, 20))
    np.testing.assert_array_equal(dataset.train.images[4].transpose(1, 2, 0), np.asarray(middle))


@pytest.mark.parametrize("names", ["names", "classes", "class_names"])
@pytest.mark.parametrize("kind", ["U", "S"])
def test_class_names(tmp_path, root, names, kind):
    given = np.array(["crane", "cat", "crane"]).astype(kind)
    path = saved(tmp_path, images=pixels(), labels=labels(), **{names: given})
    assert imported(path, root)[0].classes == ("crane", "cat", "crane (2)")


def test_labels_may_be_texts_or_any_integers(tmp_path, root):
    texts = np.array(["cat", "ape"])[labels(12, 2)]
    dataset, _ = imported(saved(tmp_path, images=pixels(), labels=texts), root, name="texts")
    assert dataset.classes == ("ape", "cat")
    numbers = np.array([1, 102], np.uint64)[labels(12, 2)]
    dataset, _ = imported(saved(tmp_path, images=pixels(), labels=numbers), root, name="numbers")
    assert dataset.classes == ("1", "102")


def test_validation_images_beside_test_images_are_left_out(tmp_path, root):
    arrays = {}
    for number, split in enumerate(("train", "val", "test")):
        arrays[f"{split}_images"] = pixels(6, seed=number)
        arrays[f"{split}_labels"] = labels(6)
    dataset, notes = imported(saved(tmp_path, **arrays), root)
    np.testing.assert_array_equal(dataset.test.images, in_channels_first(pixels(6, seed=2)))
    assert notes[1] == "The 6 validation images were left out: there are test images."


GOOD = {"images": pixels(), "labels": labels()}
WRONG = {
    "objects": ({"images": np.array([object()] * 12)}, "holds Python objects"),
    "label objects": ({"labels": np.array([None] * 12)}, "holds Python objects"),
    "NaN": ({"images": np.full((12, 9, 9), np.nan)}, "NaN"),
    "infinity": ({"images": np.full((12, 9, 9), np.inf)}, "from inf to inf"),
    "range": ({"images": pixels().astype("f4")}, "from 0 to 255: floats must be in"),
    "centred": ({"images": pixels() / 127.5 - 1}, "from -1 to 1: floats must be in"),
    "integers": ({"images": pixels().astype(int)}, "int64 values: images are uint8"),
    "complex": ({"images": pixels().astype(complex)}, "complex128 values"),
    "flat": ({"images": pixels().reshape(12, -1)}, "shape (12, 243)"),
    "one image": ({"images": pixels()[0], "labels": labels(8)}, "9 images in images, but 8"),
    "RGBA": ({"images": pixels(shape=(9, 9, 4))}, "shape (12, 9, 9, 4)"),
    "no pixels": ({"images": pixels(shape=(9, 0, 3))}, "shape (12, 9, 0, 3)"),
    "structured": ({"images": np.zeros((12, 9, 9), "u1,u1")}, "values: images are uint8"),
    "none": ({"images": pixels(0), "labels": labels(0)}, "holds no images"),
    "Fortran": ({"images": np.asfortranarray(pixels())}, "Fortran"),
    "fewer labels": ({"labels": labels(5)}, "12 images in images, but 5 labels"),
    "one-hot": ({"labels": np.eye(3)[labels()]}, "shape (12, 3)"),
    "float labels": ({"labels": labels().astype(float)}, "labels are integers"),
    "negative": ({"labels": labels() - 1}, "has the label -1"),
    "huge label": ({"labels": np.array([2**64 - 1] * 12, np.uint64)}, "too large"),
    "one class": ({"labels": labels(classes=1)}, "only one class"),
    "few names": ({"names": ["a", "b"]}, "only 2 class names"),
    "number names": ({"names": [1, 2, 3]}, "class names are texts"),
    "control names": ({"names": ["a\nb", "c", "d"]}, "printable"),
    "empty name": ({"names": ["", "c", "d"]}, "printable"),
    "twins": ({"images": np.zeros((12, 9, 9), np.uint8)}, "second, different image"),
}


@pytest.mark.parametrize(("changes", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_set_is_told_in_one_sentence(tmp_path, root, changes, words):
    assert words in sentence_of(saved(tmp_path, **(GOOD | changes)), root)


@pytest.mark.parametrize(
    ("arrays", "words"),
    [
        ({"foo": pixels()}, "Its arrays are: foo"),
        ({}, "Its arrays are: none"),
        ({"x_train": pixels()}, "x_train, but not their labels, y_train"),
        (
            {"x_train": pixels(), "y_train": labels(), "x_test": pixels(4), "y_test": [3, 4, 5, 6]},
            "'3' has test images but no training image",
        ),
    ],
)
def test_names_that_do_not_match(tmp_path, root, arrays, words):
    assert words in sentence_of(saved(tmp_path, **arrays), root)


def test_no_pickle_is_ever_loaded(tmp_path, root):
    class Trap:
        def __reduce__(self):
            return (open, (str(tmp_path / "trapped"), "w"))

    trap = np.array([Trap()] * 12, object)
    np.savez(tmp_path / "mine.npz", images=pixels(), labels=trap, unused=trap)
    sentence_of(tmp_path / "mine.npz", root)
    np.savez(tmp_path / "mine.npz", images=pixels(), labels=labels(), unused=trap)
    imported(tmp_path / "mine.npz", root)
    assert not (tmp_path / "trapped").exists()


def forged(tmp_path, header, data=b"", name="images.npy"):
    """An .npz in which one array has the given header."""
    path = saved(tmp_path, **GOOD)
    with zipfile.ZipFile(path) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()}
    members[name] = header + data
    with zipfile.ZipFile(path, "w") as archive:
        for member, content in members.items():
            archive.writestr(member, content)
    return path


def header_of(text, version=b"\x01\x00"):
    size = 2 if version == b"\x01\x00" else 4
    return b"\x93NUMPY" + version + len(text).to_bytes(size, "little") + text.encode()


@pytest.mark.parametrize(
    "header",
    [
        b"",
        b"\x93NUMPY",
        b"not an array",
        header_of("{'descr': '|u1', 'fortran_order': False, 'shape': (12, 9, 9)}"),  # no data
        header_of("{'descr': '|u1', 'fortran_order': False, 'shape': (12, -9, -9)}"),
        header_of("{'descr': '|u1', 'fortran_order': False, 'shape': (10**18, 9, 9)}"),
        header_of("{'descr': '|u1', 'fortran_order': False, 'shape': (1000000000000, 9, 9)}"),
        header_of("{'descr': '|V0', 'fortran_order': False, 'shape': (12, 9, 9)}"),
        header_of("__import__('os').getcwd()"),
        header_of("(" * 5000),
        header_of("{}", b"\x03\x00"),
        header_of("{}", b"\x02\x00"),
    ],
)
@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_forged_headers(tmp_path, root, header, name):
    sentence_of(forged(tmp_path, header, name=name), root)


def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path, root):
    np.savez_compressed(
        tmp_path / "mine.npz",
        images=np.zeros((100_000, 32, 32), np.uint8),
        labels=np.zeros(100_000, np.int8),
    )
    assert "not plausible" in sentence_of(tmp_path / "mine.npz", root)


def test_more_than_the_disk_holds_is_told_before_anything_is_written(tmp_path, root, monkeypatch):
    free = type("Usage", (), {"free": 2**26})()
    monkeypatch.setattr("core.data.folder.room.shutil.disk_usage", lambda path: free)
    assert "The disk is too full: 0.0 GB are needed" in sentence_of(saved(tmp_path, **GOOD), root)


def test_random_damage_is_never_a_traceback(tmp_path, root):
    good = saved(tmp_path, **GOOD).read_bytes()
    generator = np.random.default_rng(0)
    places = np.concatenate([np.arange(300), np.arange(len(good) - 700, len(good))])
    errors = []
    for _ in range(150):
        damaged = bytearray(good)
        for place in generator.choice(places, 2):
            damaged[place] = generator.integers(0, 256)
        (tmp_path / "mine.npz").write_bytes(damaged)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                imported(tmp_path / "mine.npz", root, replace=True)
        except UserError as error:
            errors.append(str(error))
    assert len(errors) > 20
    assert not any("\n" in error for error in errors)
    assert left_behind(root) == []


@pytest.mark.parametrize("name", ["mine.npz", "mine.zip"])
def test_the_content_says_what_a_file_is(tmp_path, root, name):
    saved(tmp_path, **GOOD).rename(tmp_path / name)
    assert len(imported(tmp_path / name, root)[0].classes) == 3


def test_a_zip_of_pictures_with_an_array_among_them_stays_one(tmp_path, root):
    with zipfile.ZipFile(tmp_path / "pets.zip", "w") as archive:
        for label, number in itertools.product(("cat", "dog"), range(3)):
            file = io.BytesIO()
            Image.fromarray(pixels(1, seed=number)[0]).save(file, "PNG")
            archive.writestr(f"{label}/{number}.png", file.getvalue())
        archive.writestr("labels.npy", b"?")
    assert imported(tmp_path / "pets.zip", root)[0].classes == ("cat", "dog")


@pytest.mark.parametrize("content", [b"", b"no zip", b"PK\x03\x04"])
def test_files_that_are_no_npz(tmp_path, root, content):
    (tmp_path / "mine.npz").write_bytes(content)
    assert "mine.npz is not an .npz file" in sentence_of(tmp_path / "mine.npz", root)


def test_several_files_must_be_parquet(tmp_path, root):
    path = saved(tmp_path, **GOOD)
    with pytest.raises(UserError, match="only if all are Parquet"):
        list(import_images([path, path], root, "mine"))


@pytest.mark.parametrize("divided", [False, True])
def test_stopping_at_any_event_leaves_nothing(tmp_path, root, monkeypatch, divided):
    monkeypatch.setattr(writing.time, "monotonic", itertools.count().__next__)
    path = saved(tmp_path, **GOOD)
    if divided:
        path = saved(tmp_path, x_train=pixels(), y_train=labels(), x_test=pixels(), y_test=labels())
    total = len(list(import_images([path], root, "whole", SIDE)))
    assert total > 12
    for stop in range(1, total - 1):  # the last event comes when all is done
        events = import_images([path], root, "mine", SIDE)
        for _ in range(stop):
            next(events)
        events.close()
        assert left_behind(root) == []
        assert not (root / "Folder" / "mine").exists()


def test_in_a_child_process(tmp_path, root):
    path = saved(tmp_path, **GOOD)
    events = list(import_images_isolated([path], root, "mine", SIDE))
    assert any(isinstance(event, Progress) for event in events)
    assert len(load("Folder/mine", root).classes) == 3
    with pytest.raises(UserError, match="name must be new"):
        list(import_images_isolated([path], root, "mine", SIDE))
    list(import_images_isolated([path], root, "mine", SIDE, replace=True))
    path = saved(tmp_path, **(GOOD | {"labels": labels() - 1}))
    with pytest.raises(UserError, match="has the label -1"):
        list(import_images_isolated([path], root, "other", SIDE))


def test_an_epoch_on_imported_images_in_a_real_worker(tmp_path, root, store, forks):
    images = np.repeat(labels(40, 2) * 200, 28 * 28).astype(np.uint8).reshape(40, 28, 28)
    images += pixels(40, (28, 28)) // 8
    parts = {"x_train": images, "y_train": labels(40, 2)}
    parts |= {"x_test": images, "y_test": labels(40, 2)}
    list(import_images([saved(tmp_path, **parts)], root, "mine"))
    run = store.create(
        TrainRecipe(model="LeNet5", dataset="Folder/mine", epochs=1, batch_size=8, device="cpu")
    )
    worker = forks.Process(target=eager_worker.run, args=(str(run.path), str(root)), daemon=True)
    worker.start()
    worker.join()
    summary = store.get(run.id).status.summary
    assert (summary.test_images, summary.classes, summary.epochs) == (40, 2, 1)
