"""`python -m core`: the list of commands, and how it runs one."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from core.commands.main import COMMANDS, main
from tests.exit_code import exit_code

ROOT = Path(__file__).parents[3]


def run_core(*words):
    """Run `python -m core` in a process, and return its exit code, output and errors."""
    command = [sys.executable, "-m", "core", *words]
    process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    return process.returncode, process.stdout, process.stderr


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_help_lists_every_command(words, capsys):
    assert main(words) == 0
    out, err = capsys.readouterr()
    assert err == ""
    for name, command in COMMANDS.items():
        assert f"  {name:8}  {command.description}" in out.splitlines()


def test_an_unknown_command_is_one_line_and_exit_2():
    code, out, err = run_core("prone", "--model", "LeNet5")
    assert (code, out) == (2, "")
    names = (
        "train, import, prune, quantize, budget, sweep, latency, export, answers, verify, runs,"
        " data"
    )
    assert err == f"python -m core: COMMAND must be one of {names}, got 'prone'\n"


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_help_under_its_own_name(name, capsys):
    code = exit_code(main, [name, "--help"])
    out, err = capsys.readouterr()
    assert (code, err) == (0, "")
    assert out.startswith(f"usage: python -m core {name} ")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "--epochs", "0"], "python -m core train: --epochs must be in [1, 10000], got 0"),
        (["import"], "python -m core import: FILE is needed: the checkpoint to import."),
        (["quantize", "--bits", "x"], "python -m core quantize: argument --bits"),
        (["data", "export"], "python -m core data: argument command: invalid choice: 'export'"),
    ],
)
def test_arguments_reach_the_command(words, message, capsys):
    code = exit_code(main, words)
    out, err = capsys.readouterr()
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(message)


def test_a_command_runs_in_a_real_process(tmp_path):
    code, out, err = run_core("data", "prepare", "Digits", "--data-dir", str(tmp_path))
    assert (code, err) == (0, "")
    assert "1,797 of 1,797 images" in out


def test_the_version_is_that_of_the_project(capsys):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"secateur {project['version']}\n"
