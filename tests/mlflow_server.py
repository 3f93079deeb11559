"""A real MLflow server for tests, with a database and a folder of its own."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import psutil

from tests.waiting import until


def free_port() -> int:
    """Return a port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@contextlib.contextmanager
def mlflow_server(folder: Path, port: int) -> Iterator[str]:
    """Run a server and yield its address once it answers."""
    address = f"http://127.0.0.1:{port}"
    words = [sys.executable, "-m", "mlflow", "server", "--port", str(port), "--workers", "1"]
    words += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db"]
    words += ["--artifacts-destination", str(folder / "artifacts")]
    log = (folder / "server.log").open("wb")
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    server = subprocess.Popen(words, stdout=log, stderr=log, env=os.environ | quiet)
    try:
        until(lambda: server.poll() is not None or _is_healthy(address), patience=400)
        assert server.poll() is None, (folder / "server.log").read_text()
        yield address
    finally:
        _end(server)


def _is_healthy(address: str) -> bool:
    try:
        with urllib.request.urlopen(f"{address}/health", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _end(server: subprocess.Popen[bytes]) -> None:
    """End the server and the processes that it started."""
    family = [psutil.Process(server.pid)] if server.poll() is None else []
    family += [child for process in family for child in process.children(recursive=True)]
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGTERM)
    _, alive = psutil.wait_procs(family, timeout=10)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    server.wait()
