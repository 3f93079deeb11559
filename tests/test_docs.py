"""Files, commands and flags that the documents name exist."""

import json
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from core.commands.main import COMMANDS

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    "README.md",
    "CONTRIBUTING.md",
    "docs/ARCHITECTURE.md",
    "docs/GLOSSARY.md",
    "docs/SERVER.md",
]
NOT_IN_GIT = ("runs/", "data/", ".venv/", ".streamlit/secrets.toml", "secrets.toml", "log.txt")
COMMAND = re.compile(r"python3? -m (core(?:\.\w+)*|benchmarks\.\w+)((?: [^`|\n]*)?)")


def text_of(document):
    return (ROOT / document).read_text(encoding="utf-8").replace("\\\n", " ")


def paths_in(text):
    """Paths in backticks or link targets, such as `core/config.py` or (docs/run.png)."""
    quoted = re.findall(r"`([\w.-]+(?:/[\w.-]+)*/?)`", text)
    linked = re.findall(r"\]\(([\w./-]+)\)", text)
    names = {*quoted, *linked}
    suffixes = (".py", ".md", ".toml", ".txt")
    paths = {name for name in names if "/" in name or name.endswith(suffixes)}
    return {path for path in paths if "NAME" not in path}


def commands_in(text):
    """(module, words) of every `python -m` command of this project."""
    return [(module, words) for module, words in COMMAND.findall(text)]


def test_paths_and_commands_are_found():
    text = "`core/a.py`, [b](docs/b.png), `word`, and `python -m core train --epochs 3`"
    assert paths_in(text) == {"core/a.py", "docs/b.png"}
    assert commands_in(text) == [("core", " train --epochs 3")]


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_files_exist(document):
    paths = {path for path in paths_in(text_of(document)) if not path.startswith(NOT_IN_GIT)}
    missing = [path for path in sorted(paths) if not (ROOT / path).exists()]
    assert not missing


@pytest.mark.parametrize("document", DOCUMENTS)
def test_the_modules_and_commands_exist(document):
    for module, words in commands_in(text_of(document)):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module
        arguments = words.split()
        if module == "core" and arguments and arguments[0].isalpha() and arguments[0].islower():
            assert arguments[0] in COMMANDS, arguments[0]


def test_the_flags_of_the_readmes_commands_exist():
    """Each command of the README names flags that its own help lists."""
    flags: dict[tuple[str, ...], set[str]] = {}
    for module, words in commands_in(text_of("README.md")):
        arguments = shlex.split(words.partition("#")[0].replace("|", " "))
        if not module.startswith("core") or not arguments:
            continue
        command = (module, *[word for word in arguments[:2] if word.isalpha() and word.islower()])
        named = {word.partition("=")[0] for word in arguments if word.startswith("--")}
        flags.setdefault(command, set()).update(named)
    assert flags, "the test finds no command at all"
    for command, text in zip(flags, help_of(flags), strict=True):
        unknown = [flag for flag in sorted(flags[command]) if flag not in text]
        assert not unknown, (command, unknown)


HELP = """
import contextlib, io, json, runpy, sys

texts = []
for module, *words in json.loads(sys.argv[1]):
    sys.argv = [module, *words, "--help"]
    text = io.StringIO()
    with contextlib.redirect_stdout(text), contextlib.suppress(SystemExit):
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    texts.append(text.getvalue())
print(json.dumps(texts))
"""


def help_of(commands):
    """The help of each command, as one process prints it."""
    words = [sys.executable, "-c", HELP, json.dumps(list(commands))]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)
