"""Files that are there whole or not at all."""

import errno
import os
import threading

import pytest

from core.files import replace_file, sync_folder, write_atomically


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_bytes_and_functions_replace_what_was_there(tmp_path):
    path = tmp_path / "a"
    write_atomically(path, b"one")
    write_atomically(path, lambda file: (file.write(b"tw"), file.write(b"o")))
    assert path.read_bytes() == b"two"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize(
    "error", [OSError(errno.ENOSPC, "full"), ValueError("no"), KeyboardInterrupt()]
)
def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a"
    path.write_bytes(b"old")

    def half(file):
        file.write(b"half")
        raise error

    with pytest.raises(type(error)) as caught:
        write_atomically(path, half)
    assert caught.value is error
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("name", ["fsync", "replace"])
def test_what_the_disk_refuses_last_is_cleaned_up_too(tmp_path, monkeypatch, name):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "full")

    path = tmp_path / "a"
    path.write_bytes(b"old")
    owner = os if name == "fsync" else type(path)
    monkeypatch.setattr(owner, name, refuse)
    with pytest.raises(OSError, match="full"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_the_content_is_on_disk_before_its_name_is(tmp_path, monkeypatch):
    order = []
    fsync = os.fsync
    replace = type(tmp_path).replace

    def recorded_fsync(descriptor):
        order.append("fsync")
        return fsync(descriptor)

    def recorded_replace(source, target):
        order.append("rename")
        return replace(source, target)

    monkeypatch.setattr(os, "fsync", recorded_fsync)
    monkeypatch.setattr(type(tmp_path), "replace", recorded_replace)
    write_atomically(tmp_path / "a", b"x")
    assert order[:2] == ["fsync", "rename"]


def test_a_reader_never_sees_half_a_file(tmp_path):
    path, stop, seen = tmp_path / "a", threading.Event(), set()
    contents = [bytes([65 + i]) * 50_000 for i in range(5)]
    write_atomically(path, contents[0])

    def read():
        while not stop.is_set():
            seen.add(path.read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for content in contents * 10:
        write_atomically(path, content)
    stop.set()
    reader.join()
    assert seen
    assert seen <= set(contents)


def test_a_missing_folder_is_an_error_not_a_new_folder(tmp_path):
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "a", b"x")
    assert names(tmp_path) == []


def test_rename_and_sync(tmp_path):
    (tmp_path / "a").write_bytes(b"x")
    (tmp_path / "b").write_bytes(b"y")
    replace_file(tmp_path / "a", tmp_path / "b")
    sync_folder(tmp_path)
    assert names(tmp_path) == ["b"]
    assert (tmp_path / "b").read_bytes() == b"x"
