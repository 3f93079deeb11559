"""Run `python -m core COMMAND ...` in the module of that command."""

import importlib
import sys
from dataclasses import dataclass

import core

PROGRAM = "python -m core"


@dataclass(frozen=True)
class Command:
    """One command.

    module: name of the module whose `main` runs the command.
    description: one line that says what the command does.
    """

    module: str
    description: str


COMMANDS = {
    "train": Command(
        "core.commands.train", "train a network, pruned before its first step or dense"
    ),
    "import": Command(
        "core.commands.import_network", "import a network that was trained elsewhere"
    ),
    "prune": Command("core.commands.prune", "prune the network of a finished run"),
    "quantize": Command("core.commands.quantize", "quantize the network of a finished run"),
    "budget": Command(
        "core.commands.budget", "quantize a finished run's network to a size or a loss of accuracy"
    ),
    "sweep": Command(
        "core.commands.sweep", "train and quantize every combination of lists of settings"
    ),
    "latency": Command(
        "core.commands.latency", "measure how fast the networks of finished runs are here"
    ),
    "export": Command(
        "core.commands.export", "export the network of a finished run as a file, and check it"
    ),
    "answers": Command(
        "core.commands.answers", "test networks on all test images, and compare their answers"
    ),
    "verify": Command("core.commands.verify", "check that the files of runs are undamaged"),
    "runs": Command(
        "core.commands.runs", "export and import runs as zips, clean up, copy to MLflow"
    ),
    "data": Command("core.commands.data", "list, prepare, import and remove data sets"),
}


def main(arguments: list[str] | None = None) -> int:
    """Run the command that the first argument names, and return its exit code.

    Without arguments, or with --help, print the list of commands. An unknown command returns 2.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if not words or words[0] in ("-h", "--help"):
        print(_help_text())
        return 0
    if words[0] == "--version":
        print(f"secateur {core.__version__}")
        return 0
    name = words[0]
    if name not in COMMANDS:
        names = ", ".join(COMMANDS)
        print(f"{PROGRAM}: COMMAND must be one of {names}, got {name!r}", file=sys.stderr)
        return 2
    module = importlib.import_module(COMMANDS[name].module)
    exit_code: int = module.main(words[1:])
    return exit_code


def _help_text() -> str:
    width = max(len(name) for name in COMMANDS)
    lines = [f"  {name:{width}}  {command.description}" for name, command in COMMANDS.items()]
    return "\n".join(
        [
            f"usage: {PROGRAM} COMMAND ...",
            "",
            *lines,
            "",
            f"{PROGRAM} COMMAND --help lists the flags of a command.",
            f"{PROGRAM} --version prints the version.",
        ]
    )
