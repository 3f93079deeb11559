"""Gives the tests of several pages an app, a trained network and its files.

What Streamlit does anew for every AppTest they do once: the search for components, and compiling a
page.
"""

import functools

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache
from streamlit.testing.v1 import AppTest

from core.runs import launch
from core.runs.run import MODEL
from tests.pages.open_page import ENTRY
from tests.sample_runs import CARD, DENSE, sample_run


@pytest.fixture(scope="session", autouse=True)
def _one_search_for_components():
    """Every AppTest searches all installed packages, which takes longer than most pages."""
    search = functools.cache(manifest_scanner.scan_component_manifests)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(manifest_scanner, "scan_component_manifests", search)
        yield


@pytest.fixture(scope="session", autouse=True)
def _one_compilation_of_a_page():
    """A server compiles a page once, and an AppTest has a server of its own."""
    compile_page = ScriptCache().get_bytecode
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ScriptCache, "get_bytecode", lambda _, path: compile_page(path))
        yield


@pytest.fixture
def app():
    return AppTest.from_file(str(ENTRY), default_timeout=120)


@pytest.fixture
def spawned(monkeypatch):
    """The runs for which a worker was spawned; none is."""
    runs = []
    monkeypatch.setattr(launch, "_spawn", lambda run, data: runs.append(run.id))
    return runs


@pytest.fixture(scope="session")
def state():
    """The weights of an untrained LeNet5."""
    import torch

    from core.models import build

    torch.manual_seed(0)
    return build("LeNet5", 10).state_dict()


@pytest.fixture(scope="session")
def content(state):
    """The model file with these weights."""
    from core.models import saved

    return saved.model_bytes(state, CARD)


@pytest.fixture
def trained(store, content, digits):
    """A finished dense training whose weights can be read."""
    run = sample_run(store, name="trained", recipe=DENSE)
    (run.path / MODEL).write_bytes(content)
    return run
