"""The user's own images: folders and zips of every kind, and what must not get through."""

import dataclasses
import errno
import io
import itertools
import json
import os
import shutil
import stat
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from core.commands.data import main
from core.data import available, draft, import_folder, is_ready, load, remove
from core.data.folder import class_folders, importing, source_files
from core.data.picture import open_picture, to_square
from core.errors import UserError
from core.events import Note, Progress


def picture(seed, size=(40, 40), kind="PNG"):
    file = io.BytesIO()
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(file, kind)
    return file.getvalue()


def write(source, files):
    for name, data in files.items():
        path = source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return source


def zipped(path, files):
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return path


def pets(cats=12, dogs=9):
    return {f"cat/{i}.png": picture(i) for i in range(cats)} | {
        f"dog/{i}.png": picture(100 + i) for i in range(dogs)
    }


def run(source, root, name="pets", **options):
    """Import and load; the notes and the data set."""
    notes = [
        event.text
        for event in import_folder(source, root, name, **options)
        if isinstance(event, Note)
    ]
    return notes, load(f"Folder/{name}", root)


def squares(part):
    """The images as hashable things."""
    return {image.tobytes() for image in part.images}


def square_of(data, side=32):
    return to_square(open_picture(data, shorter=2 * side), side).tobytes()


def hidden(root):
    return [path for path in root.rglob(".*") if path.suffix != ".lock"]


@pytest.fixture
def root(tmp_path):
    return tmp_path / "data"


@pytest.fixture
def source(tmp_path):
    return write(tmp_path / "pets", pets())


def test_a_folder_becomes_a_data_set(source, root):
    events = list(import_folder(source, root, "pets"))
    steps = [event for event in events if isinstance(event, Progress)]
    assert {event.unit for event in steps} == {"images"}
    assert (steps[0].total, steps[-1].done) == (21, steps[-1].total)
    dataset = load("Folder/pets", root)
    assert dataset.classes == ("cat", "dog")
    assert dataset.augment
    assert squares(dataset.train) | squares(dataset.test) == {
        square_of(data) for data in pets().values()
    }
    assert not squares(dataset.train) & squares(dataset.test)
    for part in (dataset.train, dataset.test):
        for image, label in zip(part.images, part.labels, strict=True):
            assert image.tobytes() in {
                square_of(data)
                for name, data in pets().items()
                if name.startswith(dataset.classes[label])
            }
    np.testing.assert_allclose(dataset.mean, (dataset.train.images / 255).mean(axis=(0, 2, 3)))
    np.testing.assert_allclose(dataset.std, (dataset.train.images / 255).std(axis=(0, 2, 3)))
    assert [choice.name for choice in available(root)][-1] == "Folder/pets"
    assert hidden(root) == []


@pytest.mark.parametrize("side", [8, 33])
def test_the_side_is_the_users(source, root, side):
    _, dataset = run(source, root, side=side)
    assert dataset.side == side
    assert squares(dataset.train) <= {square_of(data, side) for data in pets().values()}


def same(one, other):
    for split in ("train", "test"):
        np.testing.assert_array_equal(getattr(one, split).images, getattr(other, split).images)
        np.testing.assert_array_equal(getattr(one, split).labels, getattr(other, split).labels)
    assert one.classes == other.classes


@pytest.mark.parametrize(
    "change",
    [
        lambda files: {name.replace("/", "/renamed-"): data for name, data in files.items()},
        lambda files: {name.replace("/", "/deeper/still/"): data for name, data in files.items()},
        lambda files: {f"around/everything/{name}": data for name, data in files.items()},
        lambda files: (
            {f"around/{name}": data for name, data in files.items()}
            | {"around/README.md": b"Hello"}
        ),
        lambda files: (
            files
            | {
                "README.md": b"Hello",
                ".hidden/x.png": picture(7),
                "cat/.DS_Store": b"x",
                "dog/Thumbs.db": b"x",
                "__MACOSX/cat/._1.png": b"x",
            }
        ),
        lambda files: dict(reversed(files.items())),
    ],
)
@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_names_and_wrappings_do_not_matter(tmp_path, root, source, change, packed):
    _, expected = run(source, root)
    files = change(pets())
    other = zipped(tmp_path / "other.zip", files) if packed else write(tmp_path / "other", files)
    notes, dataset = run(other, root, "other")
    same(dataset, expected)
    readme = any(name.endswith("README.md") for name in files)
    assert [note for note in notes if "outside" in note] == (
        ["Files outside the class folders were left out: 1."] if readme else []
    )


def test_new_files_move_no_old_one(tmp_path, root):
    _, before = run(write(tmp_path / "a", pets(40, 40)), root, "a")
    more = pets(90, 60) | {"ape/1.png": picture(500), "ape/2.png": picture(501)}
    _, after = run(write(tmp_path / "b", more), root, "b")
    assert squares(before.train) < squares(after.train)
    assert squares(before.test) < squares(after.test)


def test_copies_fall_on_the_same_side(tmp_path, root):
    files = pets(10, 10)
    copies = {
        name.replace(".", f"-copy{i}."): data for name, data in files.items() for i in range(3)
    }
    _, dataset = run(write(tmp_path / "a", files | copies), root)
    assert len(dataset.train) + len(dataset.test) == 80
    assert not squares(dataset.train) & squares(dataset.test)


@pytest.mark.parametrize("seed", range(12))
def test_two_different_images_of_a_class_are_divided(tmp_path, root, seed):
    files = {
        f"{label}/{i}.png": picture(1000 * seed + 10 * j + i)
        for j, label in enumerate("abc")
        for i in range(2)
    }
    _, dataset = run(write(tmp_path / "a", files), root)
    assert dataset.train.labels.tolist() == dataset.test.labels.tolist() == [0, 1, 2]


def test_a_class_with_one_image_trains_on_it(tmp_path, root):
    _, dataset = run(
        write(tmp_path / "a", pets() | {"ape/1.png": picture(8), "ape/2.png": picture(8)}), root
    )
    assert dataset.classes == ("ape", "cat", "dog")
    assert np.sum(dataset.train.labels == 0) == 2
    assert 0 not in dataset.test.labels


def test_about_a_fifth_is_for_testing():
    labels = ["a"] * 2000 + ["b"] * 2000
    hashes = [np.random.default_rng(i).bytes(32) for i in range(4000)]
    assert 700 < class_folders.split_by_content(labels, hashes).sum() < 900


@pytest.mark.parametrize(
    ("train", "test"),
    [("train", "test"), ("Train", "Val"), ("train", "valid"), ("TRAIN", "validation")],
)
@pytest.mark.parametrize("around", ["", "wrapped/"])
def test_given_splits_are_kept(tmp_path, root, train, test, around):
    files = {
        f"{around}{train}/{label}/{i}.png": picture(i) for i, label in enumerate(["x", "y", "x"])
    }
    files |= {f"{around}{test}/y/1.png": picture(0)}
    _, dataset = run(write(tmp_path / "a", files), root)
    assert dataset.classes == ("x", "y")
    assert sorted(dataset.train.labels.tolist()) == [0, 0, 1]
    assert dataset.test.labels.tolist() == [1]


def test_a_test_folder_is_taken_before_a_validation_folder(tmp_path, root):
    files = {
        f"{split}/{label}/1.png": picture(i)
        for i, (split, label) in enumerate(itertools.product(("train", "val", "test"), "xy"))
    }
    notes, dataset = run(write(tmp_path / "a", files), root)
    assert squares(dataset.test) == {square_of(picture(4)), square_of(picture(5))}
    assert len(dataset.train) == 2
    assert "Files outside the class folders were left out: 2." in notes


def test_classes_may_be_called_train_and_test(tmp_path, root):
    files = {
        f"{label}/{i}.png": picture(10 * j + i)
        for j, label in enumerate(("test", "train"))
        for i in range(4)
    }
    _, dataset = run(write(tmp_path / "a", files), root)
    assert dataset.classes == ("test", "train")


def test_accents_are_one_class_however_they_are_written(tmp_path, root):
    composed, decomposed = "\u00e9t\u00e9", "e\u0301te\u0301"
    names = [f"train/{composed}/1.png", "train/b/1.png", f"test/{decomposed}/1.png"]
    files = {name: picture(i) for i, name in enumerate(names)}
    _, dataset = run(zipped(tmp_path / "a.zip", files), root)
    assert dataset.classes == ("b", composed)


def test_all_kinds_of_pictures_in_one_folder(tmp_path, root):
    files = {
        f"{label}/{kind}{i}": picture(i, (50 + i, 40), kind)
        for i, (label, kind) in enumerate(
            itertools.product("ab", ["PNG", "JPEG", "GIF", "BMP", "TIFF", "WEBP"])
        )
    }
    notes, dataset = run(write(tmp_path / "a", files), root)
    assert len(dataset.train) + len(dataset.test) == 12
    assert len(notes) == 1


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_unreadable_files_are_left_out_and_listed(tmp_path, root, packed, monkeypatch):
    monkeypatch.setattr(source_files, "MAX_PICTURE_BYTES", 20_000)
    files = pets() | {
        "cat/notes.txt": b"not a picture",
        "cat/cut.png": picture(3)[:900],
        "dog/empty.png": b"",
        "dog/huge.png": picture(5, (90, 90)),
        "ape/none.png": b"?",
    }
    source = zipped(tmp_path / "a.zip", files) if packed else write(tmp_path / "a", files)
    notes, dataset = run(source, root)
    assert dataset.classes == ("cat", "dog")
    assert len(dataset.train) + len(dataset.test) == 21
    assert "5 of 26 files could not be read" in notes[-1]
    assert "and 2 more" in notes[-1]
    skipped = json.loads((root / "Folder" / "pets" / "meta.json").read_text())["skipped"]
    assert [line.split(":")[0] for line in skipped] == [
        "ape/none.png",
        "cat/cut.png",
        "cat/notes.txt",
        "dog/empty.png",
        "dog/huge.png",
    ]
    assert "is empty" in skipped[3]
    assert "MB" in skipped[4]


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({}, "no images in class folders"),
        ({"1.png": picture(1), "2.png": picture(2)}, "no images in class folders"),
        ({"cat/1.png": picture(1), "cat/2.png": picture(2)}, "only one class"),
        ({"train/cat/1.png": picture(1), "test/cat/2.png": picture(2)}, "only one class"),
        ({"cat/1.png": b"1", "dog/2.png": b"2"}, "None of the 2 files"),
        ({"cat/1.png": picture(1), "dog/2.png": b"2"}, "Only the class 'cat'"),
        ({"cat/1.png": picture(1), "dog/2.png": picture(2)}, "at least two"),
        (
            {"train/cat/1.png": picture(1), "train/dog/1.png": b"?", "test/dog/1.png": picture(2)},
            "'dog' has test images",
        ),
        (
            {"train/a/1.png": picture(1), "train/b/1.png": picture(2), "test/a/1.png": b"?"},
            "test on",
        ),
    ],
)
def test_unusable_sources_are_told_in_one_sentence(tmp_path, root, files, words, packed):
    (tmp_path / "a").mkdir()
    source = zipped(tmp_path / "a.zip", files) if packed else write(tmp_path / "a", files)
    with pytest.raises(UserError, match=words) as caught:
        run(source, root)
    assert "\n" not in str(caught.value)
    assert hidden(root) == []
    assert not (root / "Folder" / "pets").exists()


def test_too_many_classes(tmp_path, root, monkeypatch):
    monkeypatch.setattr(class_folders, "MAX_CLASSES", 2)
    with pytest.raises(UserError, match="3 class folders: up to 2"):
        run(write(tmp_path / "a", pets() | {"ape/1.png": b""}), root)


@pytest.mark.parametrize("packed", [False, True], ids=["folder", "zip"])
def test_too_many_files(tmp_path, root, monkeypatch, packed):
    monkeypatch.setattr(source_files, "MAX_FILES", 20)
    with pytest.raises(UserError, match="more than 20 files"):
        run(zipped(tmp_path / "a.zip", pets()) if packed else write(tmp_path / "a", pets()), root)


@pytest.mark.parametrize(
    "name", ["", "a b", "../up", "a/b", "a.b", ".a", "-a", "x" * 65, "con", "COM1", "pets\n", "été"]
)
def test_names_are_checked(source, root, name):
    with pytest.raises(UserError, match="name must be"):
        next(import_folder(source, root, name))
    assert not root.exists()


@pytest.mark.parametrize("side", [0, 7, 513, -3, 10**9])
def test_the_side_is_checked(source, root, side):
    with pytest.raises(UserError, match=r"side must be in \[8, 512\] pixels, got"):
        next(import_folder(source, root, "pets", side))


def test_missing_and_wrong_sources(tmp_path, root):
    (tmp_path / "list.zip").write_text("milk")
    (tmp_path / "empty.zip").write_bytes(b"")
    for name, words in (
        ("nowhere", "does not exist"),
        ("list.zip", "neither a folder nor a zip"),
        ("empty.zip", "neither a folder nor a zip"),
    ):
        with pytest.raises(UserError, match=words) as caught:
            run(tmp_path / name, root)
        assert name in str(caught.value)


def test_a_name_is_taken_until_it_is_replaced(tmp_path, root, source):
    _, before = run(source, root)
    other = write(
        tmp_path / "other",
        {f"{label}/{i}.png": picture(900 + i) for label in "xyz" for i in range(5)},
    )
    with pytest.raises(UserError, match="name must be new"):
        run(other, root)
    same(load("Folder/pets", root), before)
    _, dataset = run(other, root, replace=True)
    assert dataset.classes == ("x", "y", "z")
    assert (
        len(before.train.images) + len(before.test.images) == 21
    )  # an open map is still the old one
    assert squares(before.train) <= {square_of(data) for data in pets().values()}
    with pytest.raises(UserError, match="only one class"):
        run(write(tmp_path / "bad", {"a/1.png": picture(1)}), root, replace=True)
    same(load("Folder/pets", root), dataset)


def test_stopping_at_any_event_leaves_nothing(tmp_path, source, root, monkeypatch):
    monkeypatch.setattr(
        importing.time, "monotonic", itertools.count().__next__
    )  # an event for every image
    total = len(list(import_folder(source, tmp_path / "dry", "pets")))
    assert total > 21
    for stop in range(1, total - 1):  # the last events come when all is done
        events = import_folder(source, root, "pets")
        for _ in range(stop):
            next(events)
        events.close()
        assert hidden(root) == []
        assert not (root / "Folder" / "pets").exists()
    assert not is_ready_or_unknown(root)
    run(source, root)


def is_ready_or_unknown(root):
    try:
        return is_ready("Folder/pets", root)
    except UserError:
        return False


@pytest.mark.parametrize("place", ["images", "arrays"])
def test_a_full_disk_leaves_nothing(source, root, monkeypatch, place):
    if place == "arrays":

        def full(*arguments):
            raise OSError(errno.ENOSPC, "No space left on device")

        monkeypatch.setattr(draft._ArrayFile, "write", full)
    else:

        class Full(io.FileIO):
            def write(self, data):
                raise OSError(errno.ENOSPC, "No space left on device")

        real = Path.open
        monkeypatch.setattr(
            Path,
            "open",
            lambda path, *mode: Full(path, "w") if path.name == "images" else real(path, *mode),
        )
    with pytest.raises(OSError, match="No space"):
        run(source, root)
    assert hidden(root) == []
    assert not (root / "Folder" / "pets").exists()


def test_memory_does_not_grow_with_the_number_of_images(source, root, monkeypatch):
    seen = []
    monkeypatch.setattr(
        draft.Draft, "add", lambda self, split, images, *rest: seen.append(images.nbytes)
    )
    monkeypatch.setattr(draft.Draft, "commit", lambda *arguments, **named: None)
    list(import_folder(source, root, "pets", side=512))
    assert len(seen) > 2
    assert max(seen) <= 2**23


def test_remove(source, root):
    run(source, root)
    remove("Folder/pets", root)
    assert not (root / "Folder" / "pets").exists()
    assert hidden(root) == []
    for name in ("Folder/pets", "Digits", "pets", "Folder/../x", "Folder/"):
        with pytest.raises(UserError, match="name must be one of"):
            remove(name, root)


def test_remove_waits_for_nobody(tmp_path, source, root):
    run(source, root)
    events = import_folder(source, root, "pets", replace=True)
    next(events)
    with pytest.raises(UserError, match="just being written"):
        remove("Folder/pets", root)
    events.close()
    remove("Folder/pets", root)


def member(name, **attributes):
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


@pytest.mark.parametrize(
    ("name", "attributes", "words"),
    [
        ("../cat/1.png", {}, "forbidden path"),
        ("cat/../../1.png", {}, "forbidden path"),
        ("/cat/1.png", {}, "forbidden path"),
        ("C:/cat/1.png", {}, "forbidden path"),
        ("C:cat/1.png", {}, "forbidden path"),
        ("cat\\..\\1.png", {}, "forbidden path"),
        ("cat//1.png", {}, "forbidden path"),
        ("./cat/1.png", {}, "forbidden path"),
        ("cat/link.png", {"external_attr": (stat.S_IFLNK | 0o777) << 16}, "link"),
    ],
)
def test_hostile_zip_members_refuse_the_whole_zip(tmp_path, root, name, attributes, words):
    path = zipped(tmp_path / "a.zip", pets())
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(member(name, **attributes), picture(0))
    with pytest.raises(UserError, match=words):
        run(path, root)
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.zip", "data"]
    assert not (root / "Folder" / "pets").exists()


def test_an_encrypted_zip_is_told(tmp_path, root):
    path = zipped(tmp_path / "a.zip", pets())
    data = bytearray(path.read_bytes())
    start = 0
    while (start := data.find(b"PK\x01\x02", start)) >= 0:  # the flags in the table of contents
        data[start + 8] |= 1
        start += 4
    path.write_bytes(data)
    with pytest.raises(UserError, match="encrypted"):
        run(path, root)


def test_a_zip_bomb_is_refused_before_anything_is_unpacked(tmp_path, root, monkeypatch):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in (pets(2, 2) | {f"cat/zeros{i}": bytes(2**24) for i in range(5)}).items():
            archive.writestr(name, data)
    monkeypatch.setattr(source_files, "_read_member", lambda *arguments: pytest.fail("unpacked"))
    with pytest.raises(UserError, match="not plausible"):
        run(path, root)


def test_a_member_that_lies_about_its_size_is_skipped(tmp_path, root):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in pets().items():
            archive.writestr(name, data)
        archive.writestr("cat/liar.png", picture(77))
        archive.filelist[-1].file_size = 100
    notes, dataset = run(path, root)
    assert "1 of 22 files" in notes[-1]
    assert len(dataset.train) + len(dataset.test) == 21


def test_a_table_of_contents_that_claims_too_much_is_not_read(tmp_path, root, monkeypatch):
    monkeypatch.setattr(source_files, "MAX_DIRECTORY_BYTES", 500)
    with pytest.raises(UserError, match="table of contents is too large"):
        run(zipped(tmp_path / "a.zip", pets()), root)


def test_a_zip_within_the_zip_is_one_unreadable_file(tmp_path, root):
    inner = zipped(tmp_path / "inner.zip", pets()).read_bytes()
    notes, _ = run(zipped(tmp_path / "a.zip", pets() | {"cat/inner.zip": inner}), root)
    assert "cat/inner.zip: This is not a picture" in notes[-1]


def test_random_damage_to_a_zip_is_never_a_traceback(tmp_path, root):
    good, generator, errors = (
        zipped(tmp_path / "a.zip", pets(3, 3)).read_bytes(),
        np.random.default_rng(0),
        [],
    )
    places = np.concatenate([np.arange(60), np.arange(len(good) - 400, len(good))])
    for _ in range(80):
        forged = bytearray(good)
        for place in generator.choice(places, 3):
            forged[place] = generator.integers(0, 256)
        (tmp_path / "b.zip").write_bytes(forged)
        try:
            run(tmp_path / "b.zip", root, replace=True)
        except UserError as error:
            errors.append(str(error))
    assert errors
    assert not any("\n" in error for error in errors)
    assert hidden(root) == []


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_and_loops_in_a_folder_are_passed_by(source, root):
    os.mkfifo(source / "cat" / "pipe.png")
    (source / "dog" / "loop").symlink_to(source)
    (source / "cat" / "dangling.png").symlink_to(source / "nowhere")
    notes, dataset = run(source, root)
    assert len(dataset.train) + len(dataset.test) == 21
    assert len(notes) == 1


@pytest.mark.parametrize("label", ["a\nb", "\u202ecat", "x" * 101, "tab\t"])
def test_class_names_must_be_printable(tmp_path, root, label):
    with pytest.raises(UserError, match="printable") as caught:
        run(zipped(tmp_path / "a.zip", pets() | {f"{label}/1.png": picture(1)}), root)
    assert "\n" not in str(caught.value)


def test_file_names_that_are_no_text(tmp_path, root, source):
    try:
        Path(os.fsdecode(os.fsencode(source / "cat") + b"/\xff\n.png")).write_bytes(b"?")
    except OSError:
        pytest.skip("this file system takes only text as names")
    notes, _ = run(source, root)
    assert "cat/\ufffd\ufffd.png: This is not a picture" in notes[-1]


def test_the_source_is_left_as_it_was(source, root):
    before = {path: path.read_bytes() for path in source.rglob("*.png")}
    run(source, root)
    assert before == {path: path.read_bytes() for path in source.rglob("*") if path.is_file()}


def test_command(source, root, capsys):
    arguments = ["import", str(source), "--name", "pets", "--side", "16", "--data-dir", str(root)]
    assert main(arguments) == 0
    assert "Folder/pets has" in capsys.readouterr().out
    assert load("Folder/pets", root).side == 16
    assert main(arguments) == 1
    assert "already" in capsys.readouterr().err
    assert main([*arguments, "--replace"]) == 0
    assert main(["list", "--data-dir", str(root)]) == 0
    assert "Folder/pets" in capsys.readouterr().out
    assert main(["remove", "Folder/pets", "--data-dir", str(root)]) == 0
    assert main(["remove", "Folder/pets", "--data-dir", str(root)]) == 1


def test_choices_are_frozen(source, root):
    run(source, root)
    with pytest.raises(dataclasses.FrozenInstanceError):
        available(root)[-1].state = "download"  # type: ignore[misc]  # the error expected here
    shutil.rmtree(root / "Folder" / "pets")
    assert "Folder/pets" not in [choice.name for choice in available(root)]
