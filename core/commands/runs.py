"""Write a run as one zip, import such a zip, clean up, and copy runs to MLflow and TensorBoard.

python -m core runs export 0123456789 --out run.zip
python -m core runs import run.zip
python -m core runs clean --older-than 90
python -m core runs mirror
"""

import argparse
import json
import sys
from collections.abc import Generator
from pathlib import Path
from typing import Any, TextIO

from core.commands.terminal import Parser, existing_runs, print_events, text_stream
from core.config import runs_root
from core.errors import UserError
from core.events import Event
from core.runs.archive.exporting import archive_name, export_run
from core.runs.archive.importing import ImportedRun, import_run
from core.runs.run import Run
from core.runs.space.proposals import PROPOSAL_KINDS, Proposal, propose, proposed_bytes
from core.runs.space.removal import remove_proposed
from core.runs.store import RunStore
from core.runs.trackers.mirror_file import LEFT_ALONE
from core.runs.trackers.mirroring import mirror_now
from core.runs.trackers.settings import SWITCHES, Trackers, trackers_of_environment
from core.runs.trash import TRASH_DAYS

PROGRAM = "python -m core runs"

_MOST_FAILURES = 3
"""After so many failures in a row nothing else will be sent either."""

_Result = dict[str, Any]


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return 0, or 1 if it failed. Wrong arguments exit with 2."""
    options = _parser().parse_args(arguments)
    try:
        result = _COMMANDS[options.command](_store(options), options, text_stream(options))
    except (UserError, OSError) as error:
        print(f"{PROGRAM} {options.command}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing half-written was left", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    return 0


def _store(options: argparse.Namespace) -> RunStore:
    if options.command == "import":  # it makes the folder
        return RunStore(runs_root(options.runs_dir))
    return existing_runs(options)


def _export(store: RunStore, options: argparse.Namespace, out: TextIO) -> _Result:
    run = store.get(options.run)
    target = options.out or Path(archive_name(run))
    if target.exists() and not options.force:
        raise UserError(f"{target} is there already: name another file, or add --force.")
    print_events(export_run(run, target), out)
    size = target.stat().st_size
    print(f"“{run.name}” is in {target}, {size:,} bytes.", file=out)
    return {"run_id": run.id, "file": str(target), "bytes": size}


def _import(store: RunStore, options: argparse.Namespace, out: TextIO) -> _Result:
    results: list[ImportedRun] = []
    print_events(_collect(import_run(store, options.file), results), out)
    (result,) = results
    run = result.run
    if result.is_new:
        print(f"“{run.name}” is imported as run {run.id}.", file=out)
    for note in result.notes:
        print(note, file=out)
    return {
        "run_id": run.id,
        "parent": run.config.parent,
        "imported": result.is_new,
        "notes": list(result.notes),
    }


def _collect(
    events: Generator[Event, None, ImportedRun], results: list[ImportedRun]
) -> Generator[Event, None, None]:
    results.append((yield from events))


def _clean(store: RunStore, options: argparse.Namespace, out: TextIO) -> _Result:
    kinds = options.only or list(PROPOSAL_KINDS)
    if "old" in (options.only or ()) and options.older_than is None:
        raise UserError("--only old needs --older-than DAYS")
    proposals = [item for item in propose(store, options.older_than) if item.kind in kinds]
    _print_proposals(proposals, out)
    removed: list[Proposal] = []
    if options.yes:
        removed = remove_proposed(store, proposals, options.older_than)
        print(_removed_text(removed), file=out)
    elif proposals:
        print("Nothing was removed. Add --yes to remove all of this.", file=out)
    return {
        "proposed": [_facts(item) for item in proposals],
        "removed": [_facts(item) for item in removed],
    }


def _print_proposals(proposals: list[Proposal], out: TextIO) -> None:
    if not proposals:
        print("There is nothing to remove.", file=out)
        return
    for item in proposals:
        title = PROPOSAL_KINDS[item.kind].title
        print(f"{item.bytes:>15,} bytes  {item.run_id}  {title}: {item.name}", file=out)
    print(f"{proposed_bytes(proposals):>15,} bytes in all", file=out)


def _removed_text(removed: list[Proposal]) -> str:
    to_trash = [item for item in removed if PROPOSAL_KINDS[item.kind].to_trash]
    freed = proposed_bytes(removed) - proposed_bytes(to_trash)
    text = f"{freed:,} bytes were deleted for good."
    if to_trash:
        number = proposed_bytes(to_trash)
        text += (
            f" {len(to_trash):,} runs with {number:,} bytes are in the trash for {TRASH_DAYS} days."
        )
    return text


def _facts(item: Proposal) -> _Result:
    return {"kind": item.kind, "run_id": item.run_id, "name": item.name, "bytes": item.bytes}


def _mirror(store: RunStore, options: argparse.Namespace, out: TextIO) -> _Result:
    trackers = trackers_of_environment()
    if not trackers.is_any_on:
        raise UserError(f"No tracker is switched on: set {SWITCHES}.")
    # Parents come before the runs that were made from them, whose copies refer to theirs.
    runs = [store.get(run_id) for run_id in options.runs] or store.list()[::-1]
    results: list[_Result] = []
    for run in runs:
        results.append(_mirror_one(run, trackers, out))
        last = results[-_MOST_FAILURES:]
        if len(last) == _MOST_FAILURES and all(result["error"] for result in last):
            break
    copied = sum(not result["error"] for result in results)
    if copied < len(runs):
        raise UserError(f"{len(runs) - copied} of {len(runs)} runs were not copied completely")
    return {"mirrored": results}


def _mirror_one(run: Run, trackers: Trackers, out: TextIO) -> _Result:
    try:
        mirror = mirror_now(run, trackers)
    except UserError as error:
        print(f"{run.name} ({run.id}): {error}", file=out)
        return {"run_id": run.id, "link": "", "error": str(error)}
    words = mirror.error or (LEFT_ALONE if mirror.left_alone else mirror.link or "copied")
    print(f"{run.name} ({run.id}): {words}", file=out, flush=True)
    return {"run_id": run.id, "link": mirror.link, "error": mirror.error}


_COMMANDS = {"export": _export, "import": _import, "clean": _clean, "mirror": _mirror}


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description="Write a run as one zip, import one, remove what nobody needs any more, or copy"
        " runs to MLflow and TensorBoard.",
    )
    shared = Parser(add_help=False)
    shared.add_runs_dir()
    shared.add_json()
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_export(commands, shared)
    _add_import(commands, shared)
    _add_clean(commands, shared)
    _add_mirror(commands, shared)
    return parser


def _add_export(commands: Any, shared: Parser) -> None:
    text = "write a run as one zip, from which it is opened elsewhere"
    parser = commands.add_parser("export", parents=[shared], help=text, description=text)
    parser.add_argument("run", metavar="RUN", help="id of the run")
    parser.add_argument(
        "--out", type=Path, metavar="FILE.zip", help="the zip [named after the run, in this folder]"
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")


def _add_import(commands: Any, shared: Parser) -> None:
    text = "import the zip of a run; it is checked first, in a process with limits"
    parser = commands.add_parser("import", parents=[shared], help=text, description=text)
    parser.add_argument("file", type=Path, metavar="FILE.zip", help="the zip")


def _add_clean(commands: Any, shared: Parser) -> None:
    text = "list what can be removed, with its bytes, and remove it with --yes"
    kinds = "; ".join(f"{name}: {kind.description}" for name, kind in PROPOSAL_KINDS.items())
    parser = commands.add_parser(
        "clean", parents=[shared], help=text, description=f"{text}. {kinds}."
    )
    parser.add_argument(
        "--only", nargs="+", choices=list(PROPOSAL_KINDS), help="only these kinds [all]"
    )
    parser.add_argument(
        "--older-than",
        type=_days,
        metavar="DAYS",
        help="runs that were made so many days ago count as old [none do]",
    )
    parser.add_argument("--yes", action="store_true", help="remove what is listed")


def _add_mirror(commands: Any, shared: Parser) -> None:
    text = "send to MLflow and TensorBoard what they do not have yet of the runs"
    description = (
        f"{text}. {SWITCHES} says where they are. What is there already is not sent again."
    )
    parser = commands.add_parser("mirror", parents=[shared], help=text, description=description)
    parser.add_argument("runs", metavar="RUN", nargs="*", help="ids of the runs [all]")


def _days(text: str) -> float:
    try:
        days = float(text)
    except ValueError:
        days = 0.0
    if not 0 < days < 1e5:
        raise argparse.ArgumentTypeError(f"takes a number of days above 0, got {text}")
    return days
