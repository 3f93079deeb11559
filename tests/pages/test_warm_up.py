"""The modules that are loaded in the background, also while a page imports the same ones."""

import ast
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from pages.parts.shared import warm_up

ROOT = Path(__file__).parents[2]

# What pages import first, in several orders, while the background thread is at work.
RACE = """
import importlib, sys, threading, time
from pages.parts.shared import warm_up

warm_up._PAUSE = 0.0
warm_up.load_modules_in_background()
thread = warm_up.load_modules_in_background()
errors = []

def visit(names, seconds):
    time.sleep(seconds)
    try:
        for name in names:
            importlib.import_module(name)
    except BaseException as error:
        errors.append(error)

visitors = [
    threading.Thread(target=visit, args=(names, 0.3 * index))
    for index, names in enumerate((
        ["core.training.setup", "core.forecast.pace", "core.training.distill"],
        ["core.models.meta", "core.forecast.cost", "core.compress.pruning.saliency"],
        ["core.checkpoints.recognition", "core.visualization", "core.quantization"],
        list(reversed(warm_up.MODULES[1:-1])),
    ))
]
for visitor in visitors:
    visitor.start()
for visitor in (*visitors, thread):
    visitor.join(120)
    assert not visitor.is_alive()
assert not errors, errors
missing = [name for name in warm_up.MODULES if name not in sys.modules]
assert not missing, missing
"""


def test_pages_import_what_is_being_loaded():
    result = subprocess.run([sys.executable, "-c", RACE], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_two_sessions_start_one_thread(monkeypatch, store):
    started = []
    monkeypatch.setattr(warm_up, "_load_modules", lambda: started.append(threading.get_ident()))
    warm_up.load_modules_in_background.clear()
    for _ in range(2):
        app = AppTest.from_file(str(ROOT / "streamlit_app.py"), default_timeout=60).run()
        assert not app.exception
    warm_up.load_modules_in_background().join()
    assert len(started) == 1


@pytest.mark.parametrize("room", ["core", "pages"])
def test_every_module_imports_torch_before_its_parts(room):
    """A part that is imported first does not wait for the thread that is loading the whole."""
    for path in (ROOT / room).rglob("*.py"):
        names = []
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.Import):
                names += [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names.append(str(node.module))
        of_torch = [name for name in names if name.partition(".")[0] == "torch"]
        assert not of_torch or of_torch[0] == "torch", path
