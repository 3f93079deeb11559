"""List the data sets, prepare one, import images, and remove it again.

python -m core data list
python -m core data import pictures.zip --name pets --side 64
python -m core data import mnist.npz --name mnist
python -m core data import data/*.parquet --name food
"""

import argparse
import dataclasses
import json
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any, TextIO

from core.commands.terminal import Parser, text_stream
from core.config import data_root
from core.data import Choice, available, is_ready, prepare, remove
from core.data.isolated import import_images_isolated
from core.errors import UserError
from core.events import Event, Progress

PROGRAM = "python -m core data"


def main(arguments: list[str] | None = None) -> int:
    """Run one command and return 0, or 1 if it failed. Wrong arguments exit with 2."""
    parser = _parser()
    options = parser.parse_args(arguments)
    if options.command == "prepare":
        _check_name(parser, options.name, data_root(options.data_dir))
    out = text_stream(options)
    try:
        result = _COMMANDS[options.command](options, data_root(options.data_dir), out)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing half-written was left", file=sys.stderr)
        return 1
    if options.json:
        print(json.dumps(result))
    return 0


def _list(options: argparse.Namespace, root: Path, out: TextIO) -> dict[str, Any]:
    choices = available(root)
    for choice in choices:
        info = choice.info
        print(
            f"{info.name:20} {choice.state:9} {info.classes:6,} classes"
            f" {info.train_images:9,} + {info.test_images:,} images of"
            f" {info.side}x{info.side}  {info.description}",
            file=out,
        )
    return {"datasets": [_facts(choice) for choice in choices]}


def _prepare(options: argparse.Namespace, root: Path, out: TextIO) -> dict[str, Any]:
    _print_events(prepare(options.name, root), out)
    return _facts_of(options.name, root)


def _import(options: argparse.Namespace, root: Path, out: TextIO) -> dict[str, Any]:
    events = import_images_isolated(
        options.source, root, options.name, options.side, options.replace
    )
    _print_events(events, out)
    return _facts_of(f"Folder/{options.name}", root)


def _remove(options: argparse.Namespace, root: Path, out: TextIO) -> dict[str, Any]:
    remove(options.name, root)
    return {"removed": options.name}


_COMMANDS = {"list": _list, "prepare": _prepare, "import": _import, "remove": _remove}


def _facts(choice: Choice) -> dict[str, Any]:
    """Return the facts about a data set that --json prints."""
    return {**dataclasses.asdict(choice.info), "state": choice.state}


def _facts_of(name: str, root: Path) -> dict[str, Any]:
    return next(_facts(choice) for choice in available(root) if choice.name == name)


def _check_name(parser: Parser, name: str, root: Path) -> None:
    """Exit with 2 for the name of no data set."""
    try:
        is_ready(name, root)
    except UserError as error:
        parser.error(str(error))


def _parser() -> Parser:
    shared = Parser(add_help=False)
    shared.add_data_dir()
    shared.add_json()
    parser = Parser(
        prog=PROGRAM,
        description="List the data sets, prepare one, import images, and remove it.",
    )
    commands = parser.add_subparsers(dest="command", required=True)

    commands.add_parser("list", parents=[shared], help="list the data sets")

    command = commands.add_parser("prepare", parents=[shared], help="make a data set ready for use")
    command.add_argument("name", help="such as CIFAR10")

    command = commands.add_parser(
        "import", parents=[shared], help="make the data set Folder/NAME from your own images"
    )
    command.add_argument(
        "source",
        nargs="+",
        metavar="FILE",
        help="a folder that has one folder per class, or a zip of it; an .npz file; a folder of"
        " Parquet files, or one or several of them",
    )
    command.add_argument("--name", required=True)
    command.add_argument(
        "--side", type=int, default=32, help="height and width of the images in pixels [32]"
    )
    command.add_argument(
        "--replace", action="store_true", help="replace an older data set of this name"
    )

    command = commands.add_parser("remove", parents=[shared], help="delete an imported data set")
    command.add_argument("name", help="such as Folder/pets")
    return parser


def _print_events(events: Iterable[Event], out: TextIO) -> None:
    """Print every note, and of the progress one line a second and the last line of each stage."""
    stage: str | None = None
    printed_at = 0.0
    waiting: Progress | None = None
    for event in events:
        if not isinstance(event, Progress):
            _print_waiting(waiting, out)
            print(event, file=out, flush=True)
            stage = None
            waiting = None
            continue
        if event.stage != stage:
            _print_waiting(waiting, out)
            stage = event.stage
            printed_at = 0.0
        if time.monotonic() - printed_at > 1:
            print(event, file=out, flush=True)
            printed_at = time.monotonic()
            waiting = None
        else:
            waiting = event
    _print_waiting(waiting, out)


def _print_waiting(progress: Progress | None, out: TextIO) -> None:
    if progress is not None:
        print(progress, file=out)
