"""Parquet files as Hugging Face stores them, written with their metadata by hand."""

import io
import itertools
import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from core.data import import_images, load
from core.data.isolated import import_images_isolated
from core.data.labelled import writing
from core.data.labelled.parquet_files import split_of_word
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Note

SIDE = 16
STRUCT = pa.struct([("bytes", pa.binary()), ("path", pa.string())])


def picture(seed, kind="PNG"):
    file = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (20, 24, 3), np.uint8)
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def square(seed):
    return to_square(open_picture(picture(seed), shorter=2 * SIDE), SIDE)


def shard(path, seeds, labels, names=("cat", "dog"), image="image", label="label", **more):
    """Write a file as `datasets` does: with structs, and the features as JSON in the schema."""
    images = [{"bytes": picture(seed), "path": None} for seed in seeds]
    columns = {image: pa.array(images, STRUCT), label: pa.array(labels)}
    columns |= {name: pa.array(values) for name, values in more.items()}
    table = pa.table(columns)
    if names is not None:
        features = {
            image: {"_type": "Image"},
            label: {"names": list(names), "_type": "ClassLabel"},
        }
        text = json.dumps({"info": {"features": features}})
        table = table.replace_schema_metadata({b"huggingface": text.encode()})
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, row_group_size=5)
    return path


def written(path, table, **options):
    pq.write_table(pa.table(table), path, **options)
    return path


def imported(sources, root, name="mine", **options):
    """The data set, and the notes."""
    events = import_images(sources, root, name, SIDE, **options)
    notes = [event.text for event in events if isinstance(event, Note)]
    return load(f"Folder/{name}", root), notes


def sentence_of(sources, root):
    with pytest.raises(UserError) as caught:
        list(import_images(sources, root, "mine", SIDE))
    text = str(caught.value)
    assert "\n" not in text
    assert text.endswith(".")
    assert not (root / "Folder" / "mine").exists()
    assert left_behind(root) == []
    return text


def left_behind(root):
    return [path for path in root.rglob(".*") if path.suffix != ".lock"]


def check(images, seeds, labels):
    """These are the images of the seeds, in their order, with the labels."""
    np.testing.assert_array_equal(images.images, np.stack([square(seed) for seed in seeds]))
    assert images.labels.tolist() == list(labels)


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def repository(tmp_path):
    """A folder as it is downloaded: two shards to train on, one to test on."""
    folder = tmp_path / "pets"
    shard(folder / "data" / "train-00000-of-00002.parquet", range(7), [0, 1, 0, 1, 0, 1, 1])
    shard(folder / "data" / "train-00001-of-00002.parquet", range(7, 12), [1, 1, 0, 0, 1])
    shard(folder / "data" / "test-00000-of-00001.parquet", range(20, 24), [1, 0, 1, 0])
    shard(folder / ".cache" / "train-00009-of-00010.parquet", range(50, 52), [0, 1])
    (folder / "README.md").write_text("pets")
    return folder


def test_a_folder_of_shards(repository, root):
    dataset, notes = imported([repository], root)
    check(dataset.train, range(12), [0, 1, 0, 1, 0, 1, 1, 1, 1, 0, 0, 1])
    check(dataset.test, range(20, 24), [1, 0, 1, 0])
    assert dataset.classes == ("cat", "dog")
    assert notes == ["Folder/mine has 12 training and 4 test images in 2 classes."]


def test_the_shards_one_by_one_are_the_same(repository, root):
    expected, _ = imported([repository], root)
    dataset, _ = imported(sorted(repository.glob("data/*.parquet")), root, "again")
    for one, other in ((dataset.train, expected.train), (dataset.test, expected.test)):
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)


@pytest.mark.parametrize("name", ["all.parquet", "train.parquet", "test-00000-of-00001.parquet"])
def test_a_part_of_one_file_is_held_out(tmp_path, root, name):
    path = shard(tmp_path / name, range(40), [0, 1] * 20)
    dataset, _ = imported([path], root)
    assert len(dataset.train) + len(dataset.test) == 40
    assert 0 < len(dataset.test) < 20
    expected = {square(seed).tobytes() for seed in range(40)}
    assert {image.tobytes() for image in (*dataset.train.images, *dataset.test.images)} == expected
    backwards = shard(tmp_path / "backwards.parquet", range(39, -1, -1), [1, 0] * 20)
    again, _ = imported([backwards], root, "again")
    assert {image.tobytes() for image in again.test.images} == {
        image.tobytes() for image in dataset.test.images
    }


@pytest.mark.parametrize(
    ("name", "split"),
    [
        ("train-00000-of-00002", "train"),
        ("0000-validation", "validation"),
        ("my_test_set", "test"),
        ("VAL", "validation"),
        ("eval.v2", "test"),
        ("testfile", None),
        ("training2", "train"),
        ("contest", None),
        ("", None),
    ],
)
def test_splits_by_name(name, split):
    assert split_of_word(name) == split


def test_splits_by_folder(tmp_path, root):
    shard(tmp_path / "pets" / "default" / "train" / "0000.parquet", range(4), [0, 1, 0, 1])
    shard(tmp_path / "pets" / "default" / "valid" / "0000.parquet", range(4, 6), [0, 1])
    dataset, _ = imported([tmp_path / "pets"], root)
    check(dataset.train, range(4), [0, 1, 0, 1])
    check(dataset.test, range(4, 6), [0, 1])


def test_splits_by_column(tmp_path, root):
    splits = ["train", "test", "Train", "val", "train", "test"]
    path = shard(tmp_path / "a.parquet", range(6), [0, 0, 1, 0, 1, 1], split=splits)
    dataset, notes = imported([path], root)
    check(dataset.train, [0, 2, 4], [0, 1, 1])
    check(dataset.test, [1, 5], [0, 1])
    assert notes[1] == "The 1 images of validation were left out."


def test_test_images_without_labels_give_way_to_validation_images(tmp_path, root):
    shard(tmp_path / "pets" / "train-0.parquet", range(4), [0, 1, 0, 1])
    shard(tmp_path / "pets" / "validation-0.parquet", range(4, 6), [0, 1])
    shard(tmp_path / "pets" / "test-0.parquet", range(6, 9), [-1, -1, -1])
    dataset, notes = imported([tmp_path / "pets"], root)
    check(dataset.test, range(4, 6), [0, 1])
    assert notes[1] == "The 3 images of test were left out."


@pytest.mark.parametrize("kind", ["texts", "dictionary", "int8", "uint64", "bool"])
def test_labels_of_every_kind(tmp_path, root, kind):
    labels = {
        "texts": pa.array(["dog", "cat"] * 5),
        "dictionary": pa.array(["dog", "cat"] * 5).dictionary_encode(),
        "int8": pa.array([1, 0] * 5, pa.int8()),
        "uint64": pa.array([1, 0] * 5, pa.uint64()),
        "bool": pa.array([True, False] * 5),
    }[kind]
    path = shard(tmp_path / "a.parquet", range(10), labels, names=None)
    dataset, _ = imported([path], root)
    assert dataset.classes == (("cat", "dog") if kind in ("texts", "dictionary") else ("0", "1"))
    for images in (dataset.train, dataset.test):
        for image, label in zip(images.images, images.labels, strict=True):
            seed = next(seed for seed in range(10) if square(seed).tobytes() == image.tobytes())
            assert label == (seed + 1) % 2


@pytest.mark.parametrize(
    ("image", "label", "more"),
    [
        ("img", "fine_label", {"coarse_label": [0] * 6}),
        ("photo", "labels", {"id": list(range(6))}),
        ("image", "label", {"mask": [b"?"] * 6, "caption": ["a", "b"] * 3}),
        ("image", "breed", {"age": list(range(6))}),
    ],
)
def test_columns_of_many_names(tmp_path, root, image, label, more):
    path = shard(tmp_path / "a.parquet", range(6), [0, 1] * 3, image=image, label=label, **more)
    dataset, _ = imported([path], root)
    assert len(dataset.train) + len(dataset.test) == 6


@pytest.mark.parametrize("kind", [pa.binary(), pa.large_binary()])
@pytest.mark.parametrize("compression", ["none", "snappy", "zstd"])
def test_plain_bytes(tmp_path, root, kind, compression):
    pictures = pa.array([picture(seed, "JPEG") for seed in range(6)], kind)
    path = written(
        tmp_path / "a.parquet", {"image": pictures, "label": [0, 1] * 3}, compression=compression
    )
    dataset, _ = imported([path], root)
    assert len(dataset.train) + len(dataset.test) == 6


def test_metadata_that_is_none(tmp_path, root):
    for number, text in enumerate((b"[", b"[]", b'{"info": {"features": []}}', b"[" * 100_000)):
        table = pa.table({"image": [picture(seed) for seed in range(6)], "label": [0, 1] * 3})
        path = tmp_path / f"{number}.parquet"
        pq.write_table(table.replace_schema_metadata({b"huggingface": text}), path)
        assert imported([path], root, f"mine{number}")[0].classes == ("0", "1")


def test_pictures_that_cannot_be_read_are_left_out_and_listed(tmp_path, root):
    pictures = [picture(seed) for seed in range(8)]
    pictures[2:6] = [b"", None, b"no picture", picture(3)[:300]]
    rows = [{"bytes": content, "path": "a.png"} if content else None for content in pictures]
    table = {"image": pa.array(rows, STRUCT), "label": [0, 1] * 4}
    written(tmp_path / "train.parquet", table)
    shard(tmp_path / "test.parquet", range(4), [0, 1] * 2, names=None)
    dataset, notes = imported([tmp_path / "train.parquet", tmp_path / "test.parquet"], root)
    check(dataset.train, [0, 1, 6, 7], [0, 1, 0, 1])
    assert notes[-1].startswith("4 of 12 images could not be read and were left out: image 2: ")
    assert notes[-1].endswith("and 1 more, listed in meta.json.")
    skipped = json.loads((root / "Folder" / "mine" / "meta.json").read_text())["skipped"]
    assert len(skipped) == 4


def table_of(**changes):
    columns = {"image": [picture(seed) for seed in range(6)], "label": [0, 1] * 3} | changes
    return {name: values for name, values in columns.items() if values is not None}


WRONG = {
    "no image": (table_of(image=None), "no column that is clearly the images"),
    "paths": (table_of(image=["a.png"] * 6), "no column that is clearly the images"),
    "two images": (
        table_of(image=None, a=[b"1"] * 6, b=[b"2"] * 6),
        "Its columns are: label, a, b",
    ),
    "no label": (table_of(label=None), "no column that is clearly the labels"),
    "float labels": (table_of(label=[0.5] * 6), "no column that is clearly the labels"),
    "missing labels": (table_of(label=[0, 1, None] * 2), "rows without a label"),
    "no rows": (
        table_of(image=pa.array([], pa.binary()), label=pa.array([], pa.int8())),
        "no imag",
    ),
    "negative": (table_of(label=[0, -2] * 3), "has the label -2"),
    "unlabelled": (table_of(label=[-1] * 6), "the label -1"),
    "huge": (table_of(label=pa.array([2**64 - 1] * 6, pa.uint64())), "too large"),
    "one class": (table_of(label=[0] * 6), "only one class"),
    "one text": (table_of(label=["cat"] * 6), "only one class"),
    "control": (table_of(label=["a\nb", "c"] * 3), "printable"),
    "no pictures": (table_of(image=[b"?"] * 6), "None of the 6 images could be read; the first"),
    "twins": (table_of(image=[picture(0)] * 6), "second, different image"),
}


@pytest.mark.parametrize(("table", "words"), WRONG.values(), ids=WRONG)
def test_what_is_no_data_set_is_told_in_one_sentence(tmp_path, root, table, words):
    assert words in sentence_of([written(tmp_path / "a.parquet", table)], root)


def test_labels_beyond_the_class_names(tmp_path, root):
    path = shard(tmp_path / "a.parquet", range(4), [0, 1, 2, 0])
    assert "has the label 2, but there are only 2 class names" in sentence_of([path], root)


def test_a_class_without_images_keeps_its_number(tmp_path, root):
    path = shard(tmp_path / "a.parquet", range(4), [0, 2, 2, 0], names=("cat", "dog", "ape"))
    dataset, _ = imported([path], root)
    assert dataset.classes == ("cat", "dog", "ape")
    assert set(dataset.train.labels.tolist()) == {0, 2}


def test_files_of_two_data_sets(repository, root):
    shard(repository / "data" / "train-x.parquet", range(2), [0, 1], names=("ape", "cow"))
    assert "other columns or class names" in sentence_of([repository], root)


def test_missing_and_wrong_files(tmp_path, root):
    (tmp_path / "a.parquet").write_bytes(b"no Parquet file")
    (tmp_path / "b").write_bytes(b"PAR1 and nothing else PAR1")
    for name in ("a.parquet", "b", "nowhere.parquet"):
        assert "is not a Parquet file that can be read" in sentence_of([tmp_path / name], root)


def test_a_damaged_file_never_stops_the_program(repository, root):
    """The C++ reader may crash on forged bytes: then its child does."""
    path = repository / "data" / "train-00000-of-00002.parquet"
    good = path.read_bytes()
    generator = np.random.default_rng(0)
    outcomes = []
    for _ in range(4):
        damaged = bytearray(good)
        for place in generator.integers(len(good) - 1500, len(good) - 8, 20):
            damaged[place] = generator.integers(0, 256)
        path.write_bytes(damaged)
        try:
            list(import_images_isolated([path], root, "mine", SIDE, replace=True))
        except UserError as error:
            outcomes.append(str(error))
    assert outcomes
    assert not any("\n" in text for text in outcomes)


def test_stopping_at_any_event_leaves_nothing(repository, root, monkeypatch):
    monkeypatch.setattr(writing.time, "monotonic", itertools.count().__next__)
    total = len(list(import_images([repository], root, "whole", SIDE)))
    assert total > 16
    for stop in range(1, total - 1):
        events = import_images([repository], root, "mine", SIDE)
        for _ in range(stop):
            next(events)
        events.close()
        assert left_behind(root) == []
        assert not (root / "Folder" / "mine").exists()
