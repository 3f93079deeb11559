"""Check that the files of runs are as they were written.

python -m core verify
python -m core verify 0123456789
"""

import argparse
import json
import sys
from collections.abc import Generator
from typing import Any

from core.commands.terminal import Parser, existing_runs, print_events, text_stream
from core.errors import UserError
from core.events import Event
from core.runs.integrity import CheckedFile, check_runs
from core.runs.run import Run
from core.runs.store import RunStore

PROGRAM = "python -m core verify"


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 1 if a file is damaged or gone, and 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    try:
        runs, unreadable = _chosen_runs(existing_runs(options), options.run)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    files: list[CheckedFile] = []
    print_events(_collect(runs, files), text_stream(options))
    _print_report(runs, files, unreadable, options)
    return 1 if unreadable or any(file.bad for file in files) else 0


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Check that the results, checkpoints and kept epochs of runs are as they were written,"
            " by their SHA-256. Exits with 1 if a file is damaged or gone."
        ),
    )
    parser.add_argument("run", nargs="?", metavar="RUN", help="id of one run [all runs]")
    parser.add_runs_dir()
    parser.add_json()
    return parser


def _chosen_runs(store: RunStore, run_id: str | None) -> tuple[list[Run], list[str]]:
    """Return the run, or all runs, and the ids of those that cannot be read."""
    if run_id is not None:
        return [store.get(run_id)], []
    return store.scan()


def _collect(runs: list[Run], files: list[CheckedFile]) -> Generator[Event, None, None]:
    files += yield from check_runs(runs)


def _print_report(
    runs: list[Run], files: list[CheckedFile], unreadable: list[str], options: argparse.Namespace
) -> None:
    out = text_stream(options)
    for run_id in unreadable:
        print(f"{run_id}: config.json cannot be read", file=out)
    for file in files:
        if file.bad:
            print(f"{file.run_id}: {file.path} is {file.state}", file=out)
    bad = sum(file.bad for file in files)
    unknown = sum(file.state == "not recorded" for file in files)
    print(
        f"{len(files):,} files of {len(runs):,} runs: {len(files) - bad - unknown:,} intact,"
        f" {bad:,} damaged or gone, {unknown:,} without a recorded hash (from an older version).",
        file=out,
    )
    if options.json:
        print(json.dumps(_as_json(runs, files, unreadable)))


def _as_json(runs: list[Run], files: list[CheckedFile], unreadable: list[str]) -> dict[str, Any]:
    return {
        "runs": len(runs),
        "unreadable_runs": unreadable,
        "files": [
            {"run_id": file.run_id, "file": str(file.path), "state": file.state} for file in files
        ],
    }
