"""Hostile and damaged zips of runs: one sentence each, and nothing is left behind."""

import hashlib
import io
import json
import pickle
import random
import struct
import zipfile
from types import SimpleNamespace

import pytest
import torch

from core.config import TrainRecipe
from core.errors import UserError
from core.events import result_of
from core.runs.archive import unpacking
from core.runs.archive.importing import import_run
from core.runs.archive.layout import MANIFEST
from core.runs.archive.unpacking import unpack_run
from core.runs.run import RunConfig, Status, read_run, to_json

ID = "0123456789"
RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


def config(**changes):
    facts = {"id": ID, "name": "x", "created": 1.0, "model": "LeNet5", "dataset": "Digits"}
    return to_json(RunConfig(**(facts | changes), recipe=RECIPE))


def files(**others):
    """The content of a small run that is accepted, with other files and contents."""
    small = {"config.json": config(), "status.json": to_json(Status()), "log.txt": b"hello"}
    return {name: content for name, content in (small | others).items() if content is not None}


def manifest(content, **changes):
    facts = {
        name: {"size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for name, data in content.items()
    }
    head = {"format": "secateur-run", "version": 1, "secateur": "1", "run": ID}
    return json.dumps({**head, "files": facts, **changes}).encode()


def zipped(content=None, members=(), folder=ID, changes=(), method=zipfile.ZIP_STORED):
    """A zip with these contents, then `members`: pairs of an entry and its bytes."""
    content = files() if content is None else content
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in content.items():
            archive.writestr(f"{folder}/{name}", data)
        archive.writestr(MANIFEST, manifest(content, **dict(changes)))
        for entry, data in members:
            archive.writestr(entry, data)
    return file.getvalue()


def entry(name, mode=0o100644):
    made = zipfile.ZipInfo("placeholder")
    made.filename = name  # `ZipInfo` itself would make it harmless
    made.external_attr = mode << 16
    return made


def encrypted():
    data = bytearray(zipped())
    for place in range(len(data) - 4):  # the flag in each header, and in the table of contents
        if data[place : place + 4] == b"PK\x03\x04":
            data[place + 6] |= 1
        if data[place : place + 4] == b"PK\x01\x02":
            data[place + 8] |= 1
    return bytes(data)


def claiming_more():
    """A zip whose table of contents says that its last file has a megabyte."""
    data = zipped()
    place = data.rindex(b"PK\x01\x02")
    return data[: place + 20] + struct.pack("<II", 2**20, 2**20) + data[place + 28 :]


def huge_table():
    """A zip that says that its table of contents has a gigabyte."""
    data = bytearray(zipped())
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 2**30)
    return bytes(data)


class Attack:
    def __reduce__(self):
        return eval, ("1",)


def attacking_checkpoint():
    file = io.BytesIO()
    torch.save({"history": []}, file)
    changed = io.BytesIO()
    with zipfile.ZipFile(file) as source, zipfile.ZipFile(changed, "w") as target:
        for member in source.namelist():
            is_pickle = member.endswith("data.pkl")
            data = pickle.dumps(Attack(), protocol=2) if is_pickle else source.read(member)
            target.writestr(member, data)
    return changed.getvalue()


HASHES = b'{"log.txt": [{"size": 5, "sha256": "00"}]}'
TENSOR_BEYOND = struct.pack(
    "<Q", 60
) + b'{"w":{"dtype":"F32","shape":[9],"data_offsets":[0,36]}}'.ljust(60)

HOSTILE = {  # a function that makes the zip, and words of the sentence that refuses it
    "a path that leads out": (lambda: zipped(members=[("../evil", b"")]), "“../evil”, which does"),
    "a path within that leads out": (
        lambda: zipped(members=[(f"{ID}/../evil", b"")]),
        "does not belong to a run",
    ),
    "an absolute path": (lambda: zipped(members=[("/etc/passwd", b"")]), "“/etc/passwd”, which"),
    "a drive": (lambda: zipped(members=[(r"C:\evil", b"")]), "does not belong"),
    "a zero byte": (
        lambda: zipped(members=[(entry(f"{ID}/log.txt\0.x"), b"")]),
        "does not belong",
    ),
    "a file that does not belong": (
        lambda: zipped(members=[(f"{ID}/run.py", b"import os")]),
        "run.py”, which does not belong to a run",
    ),
    "a lock": (lambda: zipped(files(lock=b"")), "lock”, which does not belong"),
    "an epoch's odd number": (
        lambda: zipped(files(**{"epochs/01.safetensors": b""})),
        "does not belong",
    ),
    "a link": (
        lambda: zipped(members=[(entry(f"{ID}/events.jsonl", 0o120777), b"/etc/passwd")]),
        "holds a link",
    ),
    "a name twice": (lambda: zipped(members=[(f"{ID}/log.txt", b"bye")]), "log.txt” twice"),
    "two runs": (
        lambda: zipped(members=[("aaaaaaaaaa/events.jsonl", b"")]),
        "is a zip, but not of one run",
    ),
    "a bomb": (
        lambda: zipped(files(**{"log.txt": bytes(10**6)}), method=zipfile.ZIP_DEFLATED),
        "is compressed",
    ),
    "a compressed zip": (
        lambda: zipped(
            files(**{"log.txt": random.Random(0).randbytes(9)}), method=zipfile.ZIP_BZIP2
        ),
        "is compressed, which Secateur's own are not",
    ),
    "a size that it has not": (claiming_more, "more than its own size"),
    "a huge table of contents": (huge_table, "is no zip, or is damaged"),
    "an encrypted zip": (encrypted, "is encrypted"),
    "no zip": (lambda: b"PK is only a text", "is no zip, or is damaged"),
    "nothing": (lambda: b"", "is no zip, or is damaged"),
    "a zip that was cut off": (lambda: zipped()[:-40], "is no zip, or is damaged"),
    "another zip": (lambda: zipped({}), "is a zip, but not of one run"),
    "a huge config": (
        lambda: zipped(files(**{"config.json": b" " * 2**21})),
        "config.json” with more than 1 MB",
    ),
    "a newer version": (lambda: zipped(changes={"version": 2}), "version 2 of the format"),
    "a broken manifest": (lambda: zipped(changes={"files": 3}), "archive.json cannot be read"),
    "a file that the manifest lacks": (
        lambda: zipped(members=[(f"{ID}/events.jsonl", b"")]),
        "does not list “events.jsonl”",
    ),
    "a missing file": (
        lambda: zipped(changes={"files": json.loads(manifest(files(extra=b"")))["files"]}),
        "lacks “extra”",
    ),
    "another hash": (
        lambda: zipped(
            changes={"files": json.loads(manifest(files(**{"log.txt": b"other"})))["files"]}
        ),
        "log.txt has another SHA-256",
    ),
    "a manifest of another run": (lambda: zipped(changes={"run": "a" * 10}), "names two runs"),
    "a config of another run": (
        lambda: zipped(files(**{"config.json": config(id="a" * 10)})),
        "names two runs",
    ),
    "a network that the recipe does not make": (
        lambda: zipped(files(**{"config.json": config(model="VGG16")})),
        "names two networks or data sets",
    ),
    "a recipe that is none": (
        lambda: zipped(files(**{"config.json": config().replace(b'"train"', b'"bake"')})),
        "cannot be opened here: its config.json is damaged, or of another version",
    ),
    "no status": (lambda: zipped(files(**{"status.json": None})), "its status.json cannot"),
    "a wrong recorded hash": (
        lambda: zipped(files(**{"hashes.json": HASHES})),
        "its log.txt is not what was written when the run was made",
    ),
    "broken hashes": (
        lambda: zipped(files(**{"hashes.json": b"[]"})),
        "the hashes in its hashes.json cannot be read",
    ),
    "tensors beyond the file": (
        lambda: zipped(files(**{"model.safetensors": TENSOR_BEYOND})),
        "model.safetensors cannot be read",
    ),
    "a packed file that is none": (
        lambda: zipped(files(**{"packed.secateur": b"x" * 99})),
        "packed.secateur cannot be read",
    ),
    "a checkpoint with code": (
        lambda: zipped(files(**{"checkpoint.pt": attacking_checkpoint()})),
        "checkpoint.pt cannot be read .*eval",
    ),
    "an ONNX file that is none": (
        lambda: zipped(files(**{"int8.onnx": b"\xff" * 9})),
        "int8.onnx cannot be read",
    ),
    "a measurement that is none": (
        lambda: zipped(files(**{"latency.json": b"{}"})),
        "latency.json cannot be read",
    ),
}


def unpacked(path, folder):
    folder.mkdir(exist_ok=True)
    return result_of(unpack_run(str(path), "run.zip", str(folder)))


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_zip_is_one_sentence(tmp_path, name):
    make, words = HOSTILE[name]
    path = tmp_path / "run.zip"
    path.write_bytes(make())
    with pytest.raises(UserError, match=words) as caught:
        unpacked(path, tmp_path / "run")
    text = str(caught.value)
    assert "run.zip" in text
    assert text.count("\n") == 0
    assert str(tmp_path) not in text
    assert not (tmp_path / "evil").exists()


def test_the_smallest_run_is_accepted(tmp_path):
    path = tmp_path / "run.zip"
    path.write_bytes(zipped())
    unpacked(path, tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert (run.id, run.state) == (ID, "created")
    assert sorted(file.name for file in run.path.iterdir()) == sorted(files())


def test_too_many_files_are_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacking, "MOST_FILES", 3)
    path = tmp_path / "run.zip"
    path.write_bytes(zipped())
    with pytest.raises(UserError, match="more than 3 files"):
        unpacked(path, tmp_path / "run")


def test_no_zip_says_that_a_process_works_on_its_run(tmp_path):
    status = Status(state="starting", updated_at=9e9, worker={"pid": 1, "started": 0.0})
    path = tmp_path / "run.zip"
    path.write_bytes(zipped(files(**{"status.json": to_json(status)})))
    unpacked(path, tmp_path / "run")
    run = read_run(tmp_path / "run")
    assert (run.state, run.active, run.status.worker) == ("interrupted", False, None)


def test_random_damage_is_one_sentence_or_the_same_run(tmp_path):
    whole = zipped()
    path = tmp_path / "run.zip"
    chance = random.Random(0)
    for number in range(150):
        damaged = bytearray(whole)
        for _ in range(chance.randint(1, 4)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        path.write_bytes(damaged)
        folder = tmp_path / str(number)
        try:
            unpacked(path, folder)
        except UserError:
            continue
        assert read_run(folder).id == ID


@pytest.mark.parametrize("name", ["a path that leads out", "tensors beyond the file"])
def test_a_refused_zip_leaves_nothing_behind(store, tmp_path, name):
    make, words = HOSTILE[name]
    path = tmp_path / "run.zip"
    path.write_bytes(make())
    with pytest.raises(UserError, match=words):
        result_of(import_run(store, path))
    assert list(store.root.iterdir()) == []


def test_what_is_no_file_and_what_does_not_fit_are_told(store, tmp_path, monkeypatch):
    with pytest.raises(UserError, match="cannot be read"):
        result_of(import_run(store, tmp_path / "none.zip"))
    with pytest.raises(UserError, match="is not a file"):
        result_of(import_run(store, tmp_path))
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=1000))
    path = tmp_path / "run.zip"
    path.write_bytes(zipped())
    with pytest.raises(UserError, match="The disk is too full: 67 MB are needed"):
        result_of(import_run(store, path))
    assert list(store.root.iterdir()) == []
