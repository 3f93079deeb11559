"""One changed bit is noticed, and a kill between two writings is no damage."""

import json
import os

import pytest

from core import hashes
from core.errors import UserError
from core.hashes import (
    HASHES,
    has_readable_hashes,
    recorded_files,
    require_intact,
    state_of,
    write_with_hash,
)


def flip_a_bit(path, place=3):
    """Change one bit as a bad disk does it: size and time stay."""
    times = path.stat()
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "model.safetensors"
    write_with_hash(path, b"the weights")
    hashes._known.clear()  # as in another process
    return path


def test_a_file_that_is_as_it_was_written_is_intact(file):
    assert file.read_bytes() == b"the weights"
    assert state_of(file) == "intact"
    require_intact(file)


def test_content_may_be_a_function(tmp_path):
    path = tmp_path / "a"
    write_with_hash(path, lambda opened: opened.write(b"x"))
    assert (path.read_bytes(), state_of(path)) == (b"x", "intact")


def test_one_bit_is_noticed(file):
    flip_a_bit(file)
    assert state_of(file) == "damaged"
    with pytest.raises(UserError, match="damaged") as caught:
        require_intact(file)
    assert "\n" not in str(caught.value)


def test_a_file_is_read_again_only_if_it_changed(file, monkeypatch):
    require_intact(file)
    read: list[object] = []
    monkeypatch.setattr(hashes, "_hash_of", read.append)
    require_intact(file)
    assert read == []


def test_reading_afresh_finds_what_the_time_of_change_does_not_tell(file):
    assert state_of(file) == "intact"
    flip_a_bit(file)
    assert state_of(file, afresh=True) == "damaged"


def test_a_shorter_file_is_damaged_and_a_missing_one_is_gone(file):
    file.write_bytes(b"the")
    assert state_of(file) == "damaged"
    file.unlink()
    assert state_of(file) == "gone"


def test_files_from_before_are_not_recorded(tmp_path):
    path = tmp_path / "old"
    path.write_bytes(b"x")
    assert state_of(path) == "not recorded"
    require_intact(path)


@pytest.mark.parametrize("content", [b"", b"{", b"[1]", b'{"model.safetensors": 3}', b"\xff"])
def test_hashes_that_cannot_be_read_are_none(file, content):
    (file.parent / HASHES).write_bytes(content)
    assert state_of(file) == "not recorded"


def lose_an_entry(hashes):
    hashes.pop("model.safetensors")


def lose_the_hashes_of_an_entry(hashes):
    hashes["model.safetensors"] = []


def rename_an_entry(hashes):
    hashes["mode1.safetensors"] = hashes.pop("model.safetensors")


def change_a_hash(hashes):
    (entry,) = hashes["model.safetensors"]
    entry["sha256"] = "0" + entry["sha256"][1:] + "0"


def change_its_own_hash(hashes):
    hashes[HASHES] = []


@pytest.mark.parametrize(
    "damage",
    [
        dict.clear,
        lose_an_entry,
        lose_the_hashes_of_an_entry,
        rename_an_entry,
        change_a_hash,
        change_its_own_hash,
    ],
)
def test_hashes_that_are_valid_but_not_as_written_are_damaged(file, damage):
    path = file.parent / HASHES
    write_with_hash(file.parent / "best.safetensors", b"other weights")
    content = json.loads(path.read_bytes())
    assert has_readable_hashes(file.parent)
    damage(content)
    path.write_text(json.dumps(content))
    assert not has_readable_hashes(file.parent)


def test_another_layout_is_no_damage(file):
    path = file.parent / HASHES
    content = json.loads(path.read_bytes())
    path.write_text(json.dumps(dict(reversed(content.items()))))
    assert has_readable_hashes(file.parent)
    assert state_of(file) == "intact"


def test_hashes_of_an_older_version_are_read_and_then_completed(file):
    """They have no hash of their own."""
    path = file.parent / HASHES
    content = json.loads(path.read_bytes())
    del content[HASHES]
    path.write_text(json.dumps(content))
    assert has_readable_hashes(file.parent)
    assert state_of(file) == "intact"
    write_with_hash(file.parent / "new", b"x")
    assert HASHES in json.loads(path.read_bytes())
    assert state_of(file) == "intact"


@pytest.mark.parametrize("killed_at", [1, 2])
def test_a_kill_between_two_writings_is_no_damage(file, monkeypatch, killed_at):
    renames = []

    def replace(source, target):
        renames.append(target)
        if len(renames) == killed_at:
            raise KeyboardInterrupt
        source.replace(target)

    monkeypatch.setattr("core.files.replace_file", replace)
    with pytest.raises(KeyboardInterrupt):
        write_with_hash(file, b"new weights")
    assert file.read_bytes() == b"the weights"
    assert state_of(file) == "intact"
    renames.clear()
    with pytest.raises(KeyboardInterrupt):
        write_with_hash(file, b"newer weights")
    assert state_of(file) == "intact"
    monkeypatch.undo()
    write_with_hash(file, b"the newest weights")
    assert state_of(file) == "intact"


def test_hashes_of_files_that_are_gone_are_forgotten(tmp_path):
    for name in ("1", "2", "3"):
        write_with_hash(tmp_path / name, name.encode())
    (tmp_path / "1").unlink()
    write_with_hash(tmp_path / "4", b"4")
    assert {path.name for path in recorded_files(tmp_path)} == {"2", "3", "4"}
