"""Who may import whom: read from the source, and tried in processes of their own."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = {".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
           for path in sorted((ROOT / "core").rglob("*.py"))}
LIGHT = ["core.config", "core.errors", "core.events", "core.files", "core.runs.store", "core.runs.launch",
         "core.models", "core.data", "core.runs.worker", "core.baseline",
         "core.quantize", "core.terminal",
         *(name for name in MODULES if name.startswith("core.charts"))]
HEAVY = ("torch", "torchvision")


def imports(name, lazy=False):
    """The absolute names that a module imports when it is imported; with `lazy` those inside functions too."""
    found, waiting = set(), [ast.parse(MODULES[name].read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            found.update([node.module, *(f"{node.module}.{alias.name}" for alias in node.names)])
        elif isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING" and not lazy:
            waiting += node.orelse
        elif lazy or not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting += ast.iter_child_nodes(node)
    return found


def reached(name):
    """Everything that importing `name` imports, through all modules of the project and their packages."""
    found, waiting = set(), [name]
    while waiting:
        module = waiting.pop()
        if module in found:
            continue
        found.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        if module in MODULES:
            waiting += imports(module)
    return found


def test_the_walk_sees_what_it_should():
    assert {"core.errors", "pydantic"} <= imports("core.config")
    assert "torch" in reached("core.runs.jobs")
    assert "torch" in imports("core.models", lazy=True) | imports("core.training.setup", lazy=True)


@pytest.mark.parametrize("name", MODULES)
def test_nothing_in_core_imports_streamlit_or_pages(name):
    roots = {module.partition(".")[0] for module in imports(name, lazy=True)}
    assert not roots & {"streamlit", "pages", "tests", "streamlit_app"}


@pytest.mark.parametrize("name", LIGHT)
def test_what_the_first_page_needs_imports_no_torch(name):
    assert not {module.partition(".")[0] for module in reached(name)} & set(HEAVY)


def test_the_light_modules_in_a_real_process():
    script = (f"import importlib, sys\nfor name in {LIGHT!r}:\n    importlib.import_module(name)\n"
              f"    loaded = [m for m in (*{HEAVY!r}, 'streamlit', 'sklearn') if m in sys.modules]\n"
              "    assert not loaded, f'{name} imports {loaded}'")
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_every_module_imports_without_streamlit():
    script = ("import importlib, sys\nsys.modules['streamlit'] = None\n"
              f"for name in {list(MODULES)!r}:\n    importlib.import_module(name)")
    result = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize(("package", "others"), [
    ("core.compress", ("core.runs", "core.training", "core.charts", "core.inspect")),
    ("core.training", ("core.runs", "core.charts")),
    ("core.models", ("core.runs", "core.training", "core.compress", "core.charts")),
    ("core.data", ("core.runs", "core.training", "core.compress", "core.charts")),
    ("core.inspect", ("core.runs", "core.training", "core.charts"))])
def test_the_rooms_know_only_those_below_them(package, others):
    for name in MODULES:
        if name == package or name.startswith(package + "."):
            assert [m for m in imports(name, lazy=True) if m.startswith(others)] == [], name
