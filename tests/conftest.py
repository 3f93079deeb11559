"""Folders of their own for every test, the bundled data set made once, and workers that never
outlive their test.
"""

import functools
import multiprocessing
import os
import shutil
import sys

import pytest

# Before torch is loaded, and for the workers that tests start, too. The number of threads changes a
# sum's last bit, so that weights can be compared bit by bit only at one number; and a fork may not
# inherit a pool of threads.
os.environ["OMP_NUM_THREADS"] = "1"

# The processes that tests start shall find the app compiled.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

from core.runs import launch
from core.runs.store import RunStore
from tests import eager_worker
from tests.waiting import until

LONGEST = (
    "cluster/test_ray_cluster.py",
    "browser/test_train.py",
    "jobs/test_budget.py",
    "browser/test_whole_app.py",
    "trackers/test_trackers.py",
    "browser/test_budget.py",
    "ranks/test_supervisor.py",
    "browser/test_login.py",
    "pages/test_export.py",
    "browser/test_activations.py",
    "tests/test_fuzz.py",
    "browser/test_sweep.py",
    "examples/test_tour.py",
    "browser/test_export.py",
    "commands/test_export.py",
    "browser/test_prune.py",
)
"""The files that take longest, by the ends of their paths. They start first, so that no process is
left alone with one of them at the end. Every other one needs a browser, which needs both cores.
"""


def _place(item):
    """The place of a test's file among the longest ones, which all others follow."""
    path = item.path.as_posix()
    return next((place for place, end in enumerate(LONGEST) if path.endswith(end)), len(LONGEST))


def pytest_collection_modifyitems(items):
    """Put the longest files first, and try a test in the browser once more if it fails.

    The summary names those that needed it.
    """
    items.sort(key=_place)
    for item in items:
        if item.path.parent.name == "browser":
            item.add_marker(pytest.mark.flaky(reruns=1))


@pytest.fixture(scope="session")
def data_home(tmp_path_factory):
    """The folder of the data sets of the whole session; empty until somebody prepares one."""
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="session", autouse=True)
def _one_registry_of_operators():
    """torch's exporter reads the source of all its operators anew for every export, which takes as
    long as the export.
    """
    if "torch" not in sys.modules:  # no test of this session exports
        yield
        return
    import torch

    export = torch.onnx.export

    def export_with_one_registry(*arguments, **options):
        from torch.onnx._internal.exporter._registration import ONNXRegistry

        if not hasattr(ONNXRegistry.from_torchlib, "cache_info"):
            once = functools.cache(ONNXRegistry.from_torchlib)
            patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(once))
        return export(*arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(torch.onnx, "export", export_with_one_registry)
        yield


@pytest.fixture(autouse=True)
def _denormal_numbers():
    """A job makes denormal numbers zero in its process, which is that of other tests here."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_flush_denormal(False)


@pytest.fixture(autouse=True)
def _own_folders(tmp_path, data_home, monkeypatch):
    monkeypatch.setenv("SECATEUR_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("SECATEUR_DATA", str(data_home))
    for name in ("SECATEUR_MODELS", "MLFLOW_TRACKING_URI", "SECATEUR_TENSORBOARD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setitem(
        sys.modules, "__main__", sys.modules["__main__"]
    )  # AppTest's, which new processes would run


@pytest.fixture(scope="session")
def digits(data_home):
    """The folder of the data sets, with Digits in it."""
    from core import data

    data.load("Digits", data_home)
    return data_home


@pytest.fixture(scope="session")
def own_home(tmp_path_factory):
    """The folder of own networks of the whole session, so that a file is checked once in it."""
    return tmp_path_factory.mktemp("networks")


@pytest.fixture
def own_folder(own_home, monkeypatch):
    """The empty folder of the test's own networks."""
    for path in own_home.iterdir():
        path.unlink()
    monkeypatch.setenv("SECATEUR_MODELS", str(own_home))
    return own_home


@pytest.fixture
def store(tmp_path):
    """The empty store in which the test's runs live."""
    return RunStore(tmp_path / "runs")


@pytest.fixture(scope="session")
def forks():
    """Where processes that have torch already come from, if the system can; new ones otherwise."""
    if os.name == "nt":
        return multiprocessing.get_context("spawn")
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(
        ["core.runs.begin", "torch._dynamo", "sklearn", "tests.eager_worker"]
    )
    return context


@pytest.fixture
def work_on(forks, digits):
    """A function that starts a real worker process on a run and returns the process:
    `tests.eager_worker`, which saves a checkpoint after every event, with the options of its
    `main`. What still lives at the end is killed.
    """
    processes = []

    def start(run, **options):
        process = forks.Process(
            target=eager_worker.run, args=(str(run.path), str(digits)), kwargs=options, daemon=True
        )
        processes.append(process)
        process.start()
        return process

    yield start
    for process in processes:
        process.kill()
        process.join()


# -- a server and a browser, for tests.chromium --


@pytest.fixture(scope="session")
def served_runs(tmp_path_factory):
    """The folder of the runs that the server shows."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def server(served_runs, data_home):
    """The address of the one server of the session, because each new one loads torch anew."""
    from tests import chromium as browser

    with browser.serving(served_runs, data_home) as address:
        yield address


@pytest.fixture(scope="module")
def runs(served_runs):
    """The store behind the server. At the end its workers are stopped and it is emptied."""
    store = RunStore(served_runs)
    yield store
    for run in store.list(helpers=True):
        if run.active:
            launch.cancel(run)
    until(lambda: not any(run.active for run in store.list(helpers=True)))
    for path in served_runs.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink()


@pytest.fixture(scope="module")
def address(server, runs):
    """The address of a server that shows the module's runs."""
    return server


@pytest.fixture(scope="module")
def chromium():
    from tests import chromium as browser

    with browser.sync_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=browser.CHROMIUM, args=["--no-sandbox"]
        )
        yield chromium
        chromium.close()


@pytest.fixture
def tab(chromium):
    """A function that opens an address in a tab of one browser window."""
    from tests.chromium import PATIENCE, STILL, expect

    context = chromium.new_context(viewport={"width": 1280, "height": 900}, **STILL)
    context.set_default_timeout(PATIENCE)

    def opened(url):
        page = context.new_page()
        page.goto(url)
        expect(
            page.locator("[data-testid=stApp][data-test-connection-state=CONNECTED]")
        ).to_be_visible()
        return page

    expect.set_options(timeout=PATIENCE)
    yield opened
    context.close()
