"""Measures the app with many visitors at once, while a training runs on the same machine.

    python -m benchmarks.load               # 20 visitors for five minutes

A visitor is what a browser is to the server: a WebSocket of its own, on which it opens one page
after the other, reads each for some seconds, and asks for the parts that renew themselves. Drawing
happens in the browser, and is not measured. A rerun lasts from the request to the last message.
"""

import argparse
import asyncio
import os
import random
import statistics
import tempfile
import time
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import psutil
import websockets
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from websockets.typing import Origin, Subprotocol

from benchmarks.pages import fill_store
from benchmarks.report import Row, write_report
from core.config import TrainRecipe
from core.runs import launch
from core.runs.store import RunStore
from tests.chromium import serving

PAGES = ("", "train", "quantize", "budget", "runs", "compare", "weights", "kernels", "export")
"""The last parts of the addresses; "" is Home."""

READING_SECONDS = (3.0, 7.0)
MEMORY_SECONDS = 5.0
PAGE_DONE = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_SUCCESSFULLY")
FRAGMENT_DONE = ForwardMsg.ScriptFinishedStatus.Value("FINISHED_FRAGMENT_RUN_SUCCESSFULLY")


@dataclass
class Measured:
    """What all visitors measured.

    seconds: of each rerun, by the page. fragments: of each part that renewed itself. memory: of the
    server, in MB, over time. errors: what a visitor saw, in words.
    """

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    fragments: list[float] = field(default_factory=list)
    memory: list[float] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Visitor:
    """One visitor, who opens pages in a random order. runs: those whose pages it opens;
    without any it opens the page of all runs.
    """

    def __init__(self, address: str, runs: list[str], seed: int, measured: Measured):
        self._address = address.replace("http", "ws", 1) + "/_stcore/stream"
        self._origin = Origin(address)
        self._runs = runs
        self._random = random.Random(seed)
        self._measured = measured
        self._timers: dict[str, float] = {}  # seconds between reruns, by the fragment

    async def stay(self, until: float) -> None:
        """Open pages until a time of `time.monotonic`."""
        await asyncio.sleep(self._random.uniform(0, READING_SECONDS[1]))
        async with self.connect() as socket:
            while time.monotonic() < until:
                page = self._random.choice(PAGES)
                await self.open(socket, page)
                await self._read(socket, page)

    def connect(self) -> websockets.connect:
        """Return the connection, to be entered."""
        return websockets.connect(
            self._address,
            origin=self._origin,
            subprotocols=[Subprotocol("streamlit")],
            max_size=None,
        )

    async def open(self, socket: websockets.ClientConnection, page: str) -> None:
        """Open a page, of one of the runs if it shows one, and measure until it is there."""
        self._timers.clear()
        message = BackMsg()
        message.rerun_script.page_name = page
        if self._runs and page in ("runs", "weights", "kernels", "export"):
            query = {"run": self._random.choice(self._runs)}
            message.rerun_script.query_string = urlencode(query)
        seconds = await self._rerun(socket, message)
        self._measured.seconds[page or "home"].append(seconds)

    async def _read(self, socket: websockets.ClientConnection, page: str) -> None:
        """Wait for some seconds, in which parts of the page renew themselves."""
        end = time.monotonic() + self._random.uniform(*READING_SECONDS)
        while self._timers and time.monotonic() < end:
            fragment, pause = next(iter(self._timers.items()))
            await asyncio.sleep(pause)
            message = BackMsg()
            message.rerun_script.page_name = page
            message.rerun_script.fragment_id = fragment
            message.rerun_script.is_auto_rerun = True
            self._measured.fragments.append(await self._rerun(socket, message))
        await asyncio.sleep(max(0.0, end - time.monotonic()))

    async def _rerun(self, socket: websockets.ClientConnection, message: BackMsg) -> float:
        """Ask for a rerun, and return the seconds until its last message."""
        began = time.perf_counter()
        await socket.send(message.SerializeToString())
        while True:
            answer = ForwardMsg.FromString(bytes(await socket.recv(decode=False)))
            self._look_at(answer)
            # A rerun that asks for another one ends early, and the next one follows by itself.
            done = answer.WhichOneof("type") == "script_finished"
            if done and answer.script_finished in (PAGE_DONE, FRAGMENT_DONE):
                return time.perf_counter() - began

    def _look_at(self, answer: ForwardMsg) -> None:
        kind = answer.WhichOneof("type")
        if kind == "auto_rerun":
            self._timers[answer.auto_rerun.fragment_id] = answer.auto_rerun.interval
        elif kind == "stop_auto_rerun":
            self._timers.clear()
        elif kind == "page_not_found":
            self._measured.errors.append(f"no page {answer.page_not_found.page_name}")
        elif kind == "delta":
            element = answer.delta.new_element
            if element.WhichOneof("type") == "exception":
                self._measured.errors.append(element.exception.message)


async def watch_memory(server: psutil.Process, until: float, measured: Measured) -> None:
    """Write down the server's memory every few seconds."""
    while time.monotonic() < until:
        measured.memory.append(server.memory_info().rss / 1e6)
        await asyncio.sleep(MEMORY_SECONDS)


async def visit(address: str, runs: list[str], visitors: int, minutes: float) -> Measured:
    """Let so many visitors use the app, and return what they measured."""
    measured = Measured()
    until = time.monotonic() + 60 * minutes
    everybody = [Visitor(address, runs, seed, measured).stay(until) for seed in range(visitors)]
    outcomes = await asyncio.gather(
        watch_memory(_server(), until, measured), *everybody, return_exceptions=True
    )
    measured.errors += [repr(one) for one in outcomes if isinstance(one, BaseException)]
    return measured


def _server() -> psutil.Process:
    children = psutil.Process().children()
    return next(child for child in children if "streamlit" in child.cmdline())


def table(measured: Measured) -> list[Row]:
    """Return one row for each page, and one for the parts that renew themselves."""
    groups = [
        *sorted(measured.seconds.items()),
        ("parts that renew themselves", measured.fragments),
    ]
    everything = [second for seconds in measured.seconds.values() for second in seconds]
    return [
        {
            "page": name,
            "reruns": len(seconds),
            "median s": round(statistics.median(seconds), 2),
            "95% s": round(statistics.quantiles(seconds, n=20, method="inclusive")[-1], 2),
            "longest s": round(max(seconds), 2),
        }
        for name, seconds in [*groups, ("all pages", everything)]
        if len(seconds) > 1
    ]


def describe(measured: Measured, visitors: int, minutes: float, epochs: int) -> list[str]:
    """Return what the table does not say: errors, memory, and what else ran."""
    third = len(measured.memory) // 3
    middle = statistics.median(measured.memory[third : 2 * third])
    last = statistics.median(measured.memory[2 * third :])
    errors = "; ".join(sorted(set(measured.errors)))[:500] or "none"
    return [
        f"{visitors} visitors for {minutes:g} minutes, while a ResNet20 was trained on the CPU (it"
        f" finished {epochs} epochs).",
        f"Errors: {len(measured.errors)} ({errors}).",
        f"Memory of the server in MB: {measured.memory[0]:.0f} at the start, {middle:.0f} in the"
        f" middle third, {last:.0f} in the last third.",
    ]


def main() -> None:
    """Print the table and write results/load.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--visitors", type=int, default=20)
    parser.add_argument("--minutes", type=float, default=5)
    options = parser.parse_args()
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    with tempfile.TemporaryDirectory() as folder:
        store = RunStore(Path(folder) / "runs")
        data = Path(folder) / "data"
        fill_store(store.root, data)
        training = store.create(
            TrainRecipe(model="ResNet20", dataset="Digits", epochs=500, device="cpu"), "Trained now"
        )
        launch.start(training, data)
        runs = [run.id for run in store.list()]
        with serving(store.root, data) as address:
            measured = asyncio.run(visit(address, runs, options.visitors, options.minutes))
        epochs = store.get(training.id).status.epoch
        launch.force_stop(training)
    notes = describe(measured, options.visitors, options.minutes, epochs)
    write_report("load", table(measured), notes)


if __name__ == "__main__":
    main()
