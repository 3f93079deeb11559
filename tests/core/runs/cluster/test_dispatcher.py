"""The dispatcher and clusters that cannot be used: one sentence each, and the run stays queued."""

import contextlib
import json
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from core.config import Prune, TrainRecipe
from core.errors import UserError
from core.runs import launch
from core.runs.cluster import jobs
from core.runs.cluster.jobs import Jobs
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


def test_another_version_of_ray_is_named(store, digits, monkeypatch):
    with answering({"/api/version": {"version": "4", "ray_version": "1.9.0"}}) as address:
        monkeypatch.setenv("RAY_ADDRESS", address)
        run = launch.start(store.create(RECIPE), digits)
        message = until(lambda: store.get(run.id).status.message)
        assert message == (
            f"The Ray cluster at {address} runs Ray 1.9.0: it needs 2.49 or newer, below 3."
        )
        launch.cancel(run)


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
