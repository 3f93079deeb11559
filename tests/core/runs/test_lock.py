"""The lock of a run decides between those who start it and those who delete it."""

import os
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from filelock import FileLock

from core.config import TrainRecipe
from core.errors import UserError
from core.runs.lock import RunLock, is_lock_held
from core.runs.worker import work

ROOT = Path(__file__).parents[3]
RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


def test_one_at_a_time(tmp_path):
    with RunLock(tmp_path) as first, RunLock(tmp_path) as second:
        assert first.take(0)
        assert is_lock_held(tmp_path)
        assert not second.take(0)
        first.release()
        assert second.take(0)
    assert not is_lock_held(tmp_path)


def test_it_is_the_same_lock_as_that_of_filelock(tmp_path):
    with FileLock(tmp_path / "lock"), RunLock(tmp_path) as lock:
        assert not lock.take(0)
    with RunLock(tmp_path) as lock:
        assert lock.take(0)


def test_a_folder_that_is_gone_stays_gone(tmp_path):
    folder = tmp_path / "run"
    with RunLock(folder) as lock, pytest.raises(FileNotFoundError):
        lock.take(0)
    assert not folder.exists()


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder with an open file")
def test_who_waits_for_a_run_that_is_moved_away_does_not_get_it(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    results: list[bool | str] = []

    def wait():
        try:
            with RunLock(folder) as lock:
                results.append(lock.take(30))
        except FileNotFoundError:
            results.append("gone")

    with RunLock(folder) as holder:
        assert holder.take(0)
        waiting = threading.Thread(target=wait)
        waiting.start()
        folder.rename(tmp_path / "moved")
    waiting.join()
    assert results == ["gone"]
    assert [path.name for path in tmp_path.iterdir()] == ["moved"]


@pytest.mark.skipif(os.name == "nt", reason="Windows moves no folder with an open file")
def test_who_waits_for_a_run_that_is_replaced_gets_the_new_one(tmp_path):
    folder = tmp_path / "run"
    folder.mkdir()
    results = []

    def wait():
        with RunLock(folder) as lock:
            results.append(lock.take(30))
            results.append(is_lock_held(folder))

    with RunLock(folder) as holder:
        assert holder.take(0)
        waiting = threading.Thread(target=wait)
        waiting.start()
        shutil.copytree(folder, tmp_path / "new")
        folder.rename(tmp_path / "moved")
        (tmp_path / "new").rename(folder)
    waiting.join()
    assert results == [True, True]


STARTER = """
import sys
from core.errors import UserError
from core.runs import launch
from core.runs.store import RunStore
launch._spawn = lambda run, data: None
store = RunStore(sys.argv[1])
for line in sys.stdin:
    run = runs[line.strip()] if (runs := {run.id: run for run in store.list()}) else None
    print("ready", flush=True)
    sys.stdin.readline()
    try:
        print("started" if launch.start(run).state == "starting" else "left alone", flush=True)
    except UserError as error:
        print("refused" if "There is no run" in str(error) else error, flush=True)
"""


def test_delete_and_start_at_once_leave_a_run_or_none(store):
    """A real process starts each run while this one deletes it. Only one of them succeeds."""
    starter = subprocess.Popen(
        [sys.executable, "-c", STARTER, str(store.root)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert starter.stdin is not None
    assert starter.stdout is not None
    for attempt in range(60):
        run = store.create(RECIPE)
        print(run.id, file=starter.stdin, flush=True)
        assert starter.stdout.readline() == "ready\n"
        print("go", file=starter.stdin, flush=True)
        time.sleep(attempt % 20 / 20_000)
        deleted = True
        try:
            store.delete(run.id)
        except UserError as error:
            deleted = "cancel it before you delete it" not in str(error)
        answer = starter.stdout.readline().strip()
        assert answer == ("refused" if deleted else "started")
        assert run.path.exists() != deleted
        assert store.scan()[1] == []
    starter.stdin.close()
    assert starter.wait() == 0


def test_a_lock_that_cannot_be_taken_is_a_sentence(store, tmp_path):
    """Such as a link to nowhere, or a folder in its place."""
    linked = store.create(RECIPE)
    (linked.path / "lock").symlink_to(tmp_path / "nowhere" / "lock")
    with pytest.raises(UserError, match="cannot be written"):
        store.delete(linked.id)
    blocked = store.create(RECIPE)
    (blocked.path / "lock").mkdir()
    with pytest.raises(UserError, match="cannot be written"):
        list(work(blocked, tmp_path))
