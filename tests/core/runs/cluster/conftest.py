"""A real Ray cluster of two nodes on this machine, in a folder and on ports of its own."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from core.errors import UserError
from core.runs.cluster.jobs import Jobs
from tests.waiting import until

STARTING_SECONDS = 240
"""Ray takes 40 seconds on two slow cores that are busy with other things."""

MOST_STARTS = 4

_NODE = ["--num-cpus=1", "--num-gpus=0", "--object-store-memory=80000000"]
_QUIET = ["--disable-usage-stats", "--include-log-monitor=false", "--dashboard-agent-listen-port=0"]


def free_port() -> int:
    """Return a port above those that Ray gives to its workers, 10002 to 19999."""
    import socket

    while True:
        with socket.socket() as server:
            server.bind(("127.0.0.1", 0))
            port = int(server.getsockname()[1])
        if port > 20_000:
            return port


@dataclass
class Cluster:
    """address: of its dashboard. second: the process whose children are the second node."""

    address: str
    second: subprocess.Popen[bytes]

    def lose_second_node(self) -> None:
        """Kill everything on the second node at once, as a power cut does."""
        _kill(self.second)


@pytest.fixture(scope="session")
def cluster():
    """Two nodes with a CPU each. The second one says that its name is node-2."""
    if importlib.util.find_spec("ray") is None or os.name == "nt":
        pytest.skip("Ray is not installed")
    with contextlib.ExitStack() as stack:
        for _ in range(MOST_STARTS):
            with contextlib.suppress(_NotStarted):
                yield _start_cluster(stack)
                return
            stack.close()
        # Nothing of the app has run by then.
        pytest.skip(f"Ray did not start in its own limit of 30 seconds, {MOST_STARTS} times")


class _NotStarted(Exception):
    """A node ended instead of starting."""


def _start_cluster(stack: contextlib.ExitStack) -> Cluster:
    folder = Path(tempfile.mkdtemp(prefix="ray-", dir="/tmp"))  # Ray's sockets take no long path
    stack.callback(shutil.rmtree, folder, ignore_errors=True)
    port = free_port()
    dashboard = free_port()
    jobs = Jobs(f"http://127.0.0.1:{dashboard}")
    head = [
        "--head",
        f"--port={port}",
        f"--ray-client-server-port={free_port()}",
        f"--dashboard-port={dashboard}",
        "--dashboard-host=127.0.0.1",
        "--include-dashboard=true",
        f"--temp-dir={folder}",
    ]
    _start_node(head, {}, folder, stack, lambda: _count_nodes(jobs) == 1)
    words = [f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.2"]
    name = {"SECATEUR_HOST": "node-2"}
    second = _start_node(words, name, folder, stack, lambda: _count_nodes(jobs) == 2)
    return Cluster(jobs.address, second)


def _start_node(
    words: list[str],
    variables: dict[str, str],
    folder: Path,
    stack: contextlib.ExitStack,
    is_up: Callable[[], bool],
) -> subprocess.Popen[bytes]:
    """Start a node, and return the process whose children it is. Raises _NotStarted."""
    ray = Path(sys.executable).with_name("ray")
    environment = os.environ | variables
    environment.pop("RAY_ADDRESS", None)
    with (folder / "start.log").open("ab") as log:
        process = subprocess.Popen(
            [str(ray), "start", "--block", *words, *_NODE, *_QUIET],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
    stack.callback(_kill, process)
    until(lambda: is_up() or process.poll() is not None, STARTING_SECONDS)
    if process.poll() is not None:
        raise _NotStarted((folder / "start.log").read_text()[-2000:])
    return process


def _count_nodes(jobs: Jobs) -> int:
    with contextlib.suppress(UserError):
        return len(jobs.nodes())
    time.sleep(0.5)
    return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started: its children, theirs, and those of its session."""
    family = []
    for member in psutil.process_iter():
        with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
            if member.pid == process.pid or os.getsid(member.pid) == process.pid:
                family += [member, *member.children(recursive=True)]
    for member in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            member.kill()
    process.wait()
