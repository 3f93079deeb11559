"""What Streamlit does anew for every AppTest, and the tests of pages do once: the search for
components, and compiling a page.
"""

import functools

import pytest
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner.script_cache import ScriptCache


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
