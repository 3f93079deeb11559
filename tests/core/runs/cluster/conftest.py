"""A real Ray cluster of two nodes on this machine, in a folder and on ports of its own."""

import contextlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import psutil
import pytest

from core.errors import UserError
from core.runs.cluster.jobs import Jobs
from tests.waiting import until

STARTING_SECONDS = 240
"""Ray takes 40 seconds on two slow cores that are busy with other things."""

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
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")  # Ray's sockets take no long path
    log = Path(folder, "start.log").open("wb")
    port = free_port()
    dashboard = free_port()
    nodes = []

    def start(host: str | None, *words: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("ray")), "start", "--block", *words]
        environment = os.environ | ({"SECATEUR_HOST": host} if host else {})
        environment.pop("RAY_ADDRESS", None)
        process = subprocess.Popen(
            [*command, *_NODE, *_QUIET],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )
        nodes.append(process)
        return process

    try:
        start(
            None,
            "--head",
            f"--port={port}",
            f"--ray-client-server-port={free_port()}",
            f"--dashboard-port={dashboard}",
            "--dashboard-host=127.0.0.1",
            "--include-dashboard=true",
            f"--temp-dir={folder}",
        )
        jobs = Jobs(f"http://127.0.0.1:{dashboard}")
        until(lambda: _count_nodes(jobs) == 1, STARTING_SECONDS)
        second = start("node-2", f"--address=127.0.0.1:{port}", "--node-ip-address=127.0.0.2")
        until(lambda: _count_nodes(jobs) == 2, STARTING_SECONDS)
        yield Cluster(jobs.address, second)
    finally:
        for process in reversed(nodes):
            _kill(process)
        log.close()
        shutil.rmtree(folder, ignore_errors=True)


def _count_nodes(jobs: Jobs) -> int:
    with contextlib.suppress(UserError):
        return len(jobs.nodes())
    time.sleep(0.5)
    return 0


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Kill a process and all that it started, and they in turn."""
    with contextlib.suppress(psutil.NoSuchProcess):
        family = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        for child in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                child.kill()
    process.wait()
