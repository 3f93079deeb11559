"""The dispatcher and clusters that cannot be used: one sentence each, and the run stays queued."""

import contextlib
import json
import os
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.events import Note, Progress
from core.runs import launch
from core.runs.cluster import dispatcher, jobs
from core.runs.cluster.dispatcher import dispatch
from core.runs.cluster.jobs import Jobs
from core.runs.lock import is_lock_held
from core.runs.run import RayJob, Status, WorkerProcess, write_status
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.worker import work as work_on_sweep
from core.runs.worker import Stop
from tests.waiting import until

RECIPE = TrainRecipe(
    model="LeNet5",
    dataset="Digits",
    device="cpu",
    prune=Prune(density=0.2),
    epochs=1,
    batch_size=16,
    train_images=64,
)


@pytest.fixture
def closed_port():
    """A port at which nobody answers, and which nobody else gets."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        yield server.getsockname()[1]


@pytest.fixture(autouse=True)
def _looks_often(monkeypatch):
    """The dispatcher of this process; one that a start begins is another process."""
    monkeypatch.setattr(dispatcher, "LOOK_SECONDS", 0.01)


@contextlib.contextmanager
def answering(answers):
    """A server that gives these answers by path, and 404 to everything else."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            content = json.dumps(answers.get(self.path)).encode()
            self.send_response(200 if self.path in answers else 404)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


def test_a_cluster_that_does_not_answer_is_named_and_the_run_can_run_here(
    store, digits, closed_port, monkeypatch
):
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{closed_port}")
    run = launch.start(store.create(RECIPE), digits)
    assert (run.state, run.resumable) == ("queued", False)
    message = until(lambda: store.get(run.id).status.message)
    assert message == (
        f"The Ray cluster at http://127.0.0.1:{closed_port} cannot be used (Connection refused):"
        " start it, or correct RAY_ADDRESS."
    )
    assert launch.resume(run, digits).status.job == run.status.job  # it waits already
    with pytest.raises(UserError, match="cancel it before you delete it"):
        store.delete(run.id)
    assert launch.resume(run, digits, here=True).status.job is None
    until(lambda: store.get(run.id).state == "finished", 240)


def test_a_run_that_waits_is_cancelled_at_once(store, digits, closed_port, monkeypatch):
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{closed_port}")
    run = launch.start(store.create(RECIPE), digits)
    launch.cancel(run)
    assert store.get(run.id).state == "cancelled"


def test_a_sweep_says_once_that_the_cluster_does_not_answer(
    store, digits, closed_port, monkeypatch
):
    monkeypatch.setenv("RAY_ADDRESS", f"http://127.0.0.1:{closed_port}")
    sweep = SweepStore(store).create([(RECIPE,), (RECIPE.model_copy(update={"seed": 7}),)])
    stop = Stop()
    reasons = []
    rounds = 0
    for event in work_on_sweep(sweep, digits, stop):
        if isinstance(event, Note) and "cannot be used" in event.text:
            reasons.append(event.text)
        rounds += bool(reasons) and isinstance(event, Progress)
        if rounds == 3:
            stop.set()
    assert reasons == [
        f"Waiting for the cluster: The Ray cluster at http://127.0.0.1:{closed_port} cannot be used"
        " (Connection refused): start it, or correct RAY_ADDRESS."
    ]
    assert [run.state for run in store.list()] == ["cancelled", "cancelled"]


def test_another_version_of_ray_is_named(store, digits, monkeypatch):
    with answering({"/api/version": {"version": "4", "ray_version": "1.9.0"}}) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        run = launch.start(store.create(RECIPE), digits)
        message = until(lambda: store.get(run.id).status.message)
        assert message == (
            f"The Ray cluster at {address} runs Ray 1.9.0: it needs 2.49 or newer, below 3."
        )
        launch.cancel(run)


WORKER = WorkerProcess(pid=1, started=0, host="n5")
ENDED = {
    "lost": (
        {"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_DIED"},
        WORKER,
        "interrupted",
        "Its node or process was lost (on node n5, Ray job JOB).",
    ),
    "stopped": (
        {"status": "STOPPED"},
        WORKER,
        "interrupted",
        "It was stopped (on node n5, Ray job JOB).",
    ),
    "unknown": (
        None,
        WORKER,
        "interrupted",
        "Ray does not know its job any more (on node n5, Ray job JOB).",
    ),
    "no code": (
        {"status": "FAILED", "driver_exit_code": 73},
        None,
        "failed",
        f"The node has no Python at {sys.executable}: name the nodes' own with"
        " SECATEUR_CLUSTER_PYTHON.",
    ),
    "no reason": (
        {"status": "FAILED", "driver_exit_code": 1},
        None,
        "failed",
        "Its process on the node ended at once, with exit code 1. The log says why.",
    ),
    "no environment": (
        {"status": "FAILED", "message": "runtime_env setup failed\nTraceback"},
        None,
        "failed",
        "Ray could not start it: runtime_env setup failed",
    ),
}


@pytest.mark.parametrize(("answer", "worker", "state", "message"), ENDED.values(), ids=ENDED)
def test_a_job_that_ended_without_its_worker_ends_the_run(store, answer, worker, state, message):
    run = store.create(RECIPE)
    answers: dict[str, object] = {}
    with answering(answers) as address:
        job = RayJob(address=address, id="secateur-1", data="/data")
        if answer is not None:
            answers[f"/api/jobs/{job.id}"] = answer
        status = "running" if worker else "queued"
        write_status(run.path, Status(state=status, job=job, worker=worker))
        dispatch(store.root)
    ended = store.get(run.id)
    assert (ended.state, ended.status.message) == (state, message.replace("JOB", job.id))
    assert ended.resumable


def test_a_lost_worker_is_believed_while_its_heart_beats(store):
    """Ray may lose sight of a node that goes on working."""
    run = store.create(RECIPE)
    with answering({"/api/jobs/x": {"status": "FAILED"}}) as address:
        job = RayJob(address=address, id="x", data="/data")
        write_status(run.path, Status(state="running", job=job, worker=WORKER))
        (run.path / "lock").touch()
        beat = run.path / "alive"
        beat.write_text(json.dumps({"host": "n5", "pid": 1, "token": "t"}))
        thread = threading.Thread(target=dispatch, args=[store.root])
        thread.start()
        until(lambda: is_lock_held(store.root / ".cluster"))
        assert store.get(run.id).state == "running"
        os.utime(beat, (time.time() - 15,) * 2)
        thread.join(60)
        assert store.get(run.id).state == "interrupted"


def test_something_else_than_ray_is_named():
    with answering({}) as address, pytest.raises(UserError, match="it answered 404"):
        Jobs(address).check_version()
    with (
        answering({"/api/version": ["hello"]}) as address,
        pytest.raises(UserError, match="it is not Ray"),
    ):
        Jobs(address).check_version()


def test_a_cluster_that_never_answers_is_given_up(monkeypatch):
    monkeypatch.setattr(jobs, "TIME_LIMIT", 0.1)
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        address = f"http://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(UserError, match=r"cannot be used \(timed out\)"):
            Jobs(address).get("x")
