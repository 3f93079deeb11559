"""Workers on other machines: their heartbeat decides where their lock is not seen."""

import fcntl
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from core.config import TrainRecipe
from core.errors import UserError
from core.runs import launch, lock_probe
from core.runs.heartbeat import STALE_SECONDS, beating, forget_beat
from core.runs.lock import RunLock, is_lock_held
from core.runs.run import Status, write_status
from tests.waiting import until

ROOT = Path(__file__).parents[3]
RECIPE = TrainRecipe(model="LeNet5", dataset="Digits")


@pytest.fixture
def run_elsewhere(store):
    """A run that says "running", under a free lock, with the heartbeat of another machine."""
    run = store.create(RECIPE)
    write_status(run.path, Status(state="running"))
    beat(run.path, "elsewhere")
    return run


def beat(folder, host, age=0.0):
    """Leave the last heartbeat of a worker."""
    (folder / "lock").touch()
    file = folder / "alive"
    file.write_text(json.dumps({"host": host, "pid": 1, "token": "t"}))
    os.utime(file, (time.time() - age,) * 2)


def test_a_heartbeat_elsewhere_holds_the_run(store, run_elsewhere):
    run = store.get(run_elsewhere.id)
    assert (run.state, run.alive) == ("running", True)
    assert launch.resume(run).alive
    launch.cancel(run)  # asks it only
    assert store.get(run.id).status.state == "running"
    assert (run.path / "cancel").exists()
    with pytest.raises(UserError, match="cancel it before you delete it"):
        store.delete(run.id)


def test_without_a_heartbeat_for_a_minute_it_is_interrupted(store, run_elsewhere):
    beat(run_elsewhere.path, "elsewhere", STALE_SECONDS + 1)
    assert store.get(run_elsewhere.id).state == "interrupted"
    with RunLock(run_elsewhere.path) as lock:
        assert lock.take(0)


def test_on_this_machine_the_lock_says_more(store, run_elsewhere, monkeypatch):
    monkeypatch.setenv("SECATEUR_HOST", "elsewhere")
    assert store.get(run_elsewhere.id).state == "interrupted"


def test_a_forgotten_worker_does_not_hold_the_run(store, run_elsewhere):
    forget_beat(run_elsewhere.path)
    assert store.get(run_elsewhere.id).state == "interrupted"


def test_nothing_is_left_of_a_heartbeat_that_ended(tmp_path):
    with RunLock(tmp_path) as lock:
        assert lock.take(0)
        with beating(tmp_path):
            assert json.loads((tmp_path / "alive").read_text())["pid"] == os.getpid()
    assert not (tmp_path / "alive").exists()


def test_a_process_whose_place_was_taken_ends_at_once(tmp_path):
    (tmp_path / "lock").touch()
    script = (
        "import sys, time; from pathlib import Path; from core.runs.heartbeat import beating\n"
        "with beating(Path(sys.argv[1])): time.sleep(600)"
    )
    process = subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], cwd=ROOT)
    until(lambda: (tmp_path / "alive").exists())
    beat(tmp_path, "another")
    assert process.wait(60) == 1
    assert json.loads((tmp_path / "alive").read_text())["host"] == "another"


def test_locks_hold_on_a_local_disk(tmp_path, monkeypatch):
    monkeypatch.setattr(lock_probe, "_results", {})
    assert lock_probe.explain_untrusted_locks(tmp_path) is None
    assert list(tmp_path.iterdir()) == []
    assert lock_probe.explain_untrusted_locks(tmp_path / "missing") is None


def test_where_locks_do_not_hold_one_sentence_says_so_and_heartbeats_count(tmp_path, monkeypatch):
    """No file system without locks can be mounted here, so this process takes none."""
    monkeypatch.setattr(lock_probe, "_results", {})
    monkeypatch.setattr(fcntl, "flock", lambda *_: None)
    sentence = lock_probe.explain_untrusted_locks(tmp_path)
    assert sentence == (
        f"Locks do not work in {tmp_path}, so a run that was killed is noticed only after a minute:"
        " use a local disk or NFS version 4 for the runs."
    )
    with beating(tmp_path), RunLock(tmp_path) as second:
        assert not second.take(0)
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "lock").touch()
    with beating(tmp_path):
        assert is_lock_held(tmp_path)
    assert not is_lock_held(tmp_path)
