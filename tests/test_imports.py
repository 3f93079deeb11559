"""Who may import whom: read from the source, followed to the end, and tried in real processes."""

import ast
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TIERS = [  # a room may import rooms of its own tier and of those above it in this list
    ["accuracy", "config", "errors", "events", "files", "machine", "hashes", "sandbox"],
    ["data", "models"],
    ["compress", "checkpoints"],
    ["training", "inspect"],
    ["forecast", "deploy", "search"],
    ["jobs"],
    ["charts", "runs"],
    ["report"],
    ["commands", "baseline", "quantization", "visualization"],
]
RANK = {room: rank for rank, rooms in enumerate(TIERS) for room in rooms}
HEAVY = {"torch", "torchvision"}


def modules_below(folder):
    """Every module in a folder of the repository, by its dotted name."""
    paths = sorted((ROOT / folder).rglob("*.py"))
    names = (".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths)
    return {name.removesuffix(".__init__"): path for name, path in zip(names, paths, strict=True)}


CORE = modules_below("core")
MODULES = CORE | modules_below("pages")
WITHOUT_TORCH = [
    "core.config",
    "core.errors",
    "core.events",
    "core.files",
    "core.machine",
    "core.models",
    "core.data",
    "core.runs.store",
    "core.runs.launch",
    "core.runs.worker",
    "core.baseline",
    "core.__main__",
    *(name for name in CORE if name.startswith(("core.charts", "core.commands", "core.report"))),
]


@cache
def imports(name, at_import_time=False):
    """The absolute names that a module imports.

    at_import_time: leave out what only functions and type checkers import.
    """
    names: set[str] = set()
    waiting = [ast.parse(MODULES[name].read_text(encoding="utf-8"))]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            names.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{name} imports relatively"
            names.update(imported(node.module, alias.name) for alias in node.names)
        elif at_import_time and is_type_checking(node):
            waiting += node.orelse
        elif at_import_time and isinstance(node, ast.FunctionDef | ast.Lambda):
            continue
        else:
            waiting += ast.iter_child_nodes(node)
    return frozenset(names)


def imported(module, name):
    """The module that `from module import name` imports: a module itself, or what defines it."""
    submodule = f"{module}.{name}"
    return submodule if submodule in MODULES else module


def is_type_checking(node):
    return isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"


@cache
def reached(name, at_import_time=False):
    """Everything that a module imports, through all modules of the project and their packages."""
    names: set[str] = set()
    waiting = [name]
    while waiting:
        module = waiting.pop()
        if module in names:
            continue
        names.add(module)
        if "." in module:
            waiting.append(module.rpartition(".")[0])
        if module in MODULES:
            waiting += imports(module, at_import_time)
    return frozenset(names)


def room_of(module):
    """The room that a module of core is in; None for `core` itself."""
    if module == "core.__main__":
        return "commands"
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def rooms_reached(name):
    """The rooms of all modules of core that a module imports, through all others."""
    return {room_of(module) for module in reached(name) if module in CORE} - {None}


def circle_in(graph):
    """One circle in a graph of sets by name, as a list of names; None if there is none."""
    finished = set()

    def visit(name, path):
        if name in path:
            return [*path[path.index(name) :], name]
        if name in finished:
            return None
        for other in sorted(graph.get(name, ())):
            if circle := visit(other, [*path, name]):
                return circle
        finished.add(name)
        return None

    return next((circle for name in sorted(graph) if (circle := visit(name, []))), None)


def test_the_walk_sees_what_it_should():
    assert {"core.errors", "pydantic"} <= imports("core.config.validation")
    assert "torch" in reached("core.jobs.train", at_import_time=True)
    assert "core.runs.worker" in reached("core.commands.data")
    assert "core.jobs.train" in reached("core.runs.worker")
    assert circle_in({"a": {"b"}, "b": {"c"}, "c": {"b"}}) == ["b", "c", "b"]
    assert circle_in({"a": {"b", "c"}, "b": {"c"}}) is None


def test_every_room_has_a_tier():
    assert {room_of(name) for name in CORE} - {None} <= RANK.keys()


@pytest.mark.parametrize("name", CORE)
def test_nothing_in_core_imports_streamlit_or_pages(name):
    roots = {module.partition(".")[0] for module in reached(name)}
    assert not roots & {"streamlit", "pages", "tests", "benchmarks", "streamlit_app"}


@pytest.mark.parametrize("name", CORE)
def test_no_module_reaches_a_room_above_its_own(name):
    room = room_of(name)
    if room is None:
        return
    above = {other for other in rooms_reached(name) if RANK[other] > RANK[room]}
    assert not above, f"{name} reaches {sorted(above)}"


def test_no_rooms_import_in_a_circle():
    graph: dict[str, set[str]] = {}
    for name in CORE:
        if room := room_of(name):
            rooms = {room_of(module) for module in imports(name) if module in CORE}
            graph.setdefault(room, set()).update(rooms - {room, None})
    assert circle_in(graph) is None


def test_no_modules_import_in_a_circle():
    graph = {name: imports(name, at_import_time=True) & MODULES.keys() for name in MODULES}
    assert circle_in(graph) is None


@pytest.mark.parametrize("name", WITHOUT_TORCH)
def test_what_the_first_page_needs_imports_no_torch(name):
    roots = {module.partition(".")[0] for module in reached(name, at_import_time=True)}
    assert not roots & HEAVY


def test_the_modules_without_torch_in_a_real_process():
    script = (
        f"import importlib, sys\nfor name in {WITHOUT_TORCH!r}:\n"
        "    importlib.import_module(name)\n"
        f"    loaded = [m for m in (*{HEAVY!r}, 'streamlit', 'sklearn') if m in sys.modules]\n"
        "    assert not loaded, f'{name} imports {loaded}'"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr


def test_every_module_imports_without_streamlit():
    script = (
        "import importlib, sys\nsys.modules['streamlit'] = None\n"
        f"for name in {list(CORE)!r}:\n    importlib.import_module(name)"
    )
    result = subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True
    )
    assert result.returncode == 0, result.stderr
