"""`python -m core.data`: list the data sets, prepare one, import a folder of images, remove it again."""

import argparse
import sys
import time
from collections.abc import Iterable
from pathlib import Path

from core.config import data_root
from core.data import available, import_folder, prepare, remove
from core.errors import UserError
from core.events import Event, Progress
from core.terminal import Parser


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns 0, or 1 where it could not be done. Wrong arguments exit with 2."""
    options = _parser().parse_args(arguments)
    root = data_root(options.data_dir)
    try:
        if options.command == "list":
            for choice in available(root):
                info = choice.info
                print(f"{info.name:20} {choice.state:9} {info.classes:6,} classes {info.train_images:9,} + "
                      f"{info.test_images:,} images of {info.side}x{info.side}  {info.description}")
        elif options.command == "prepare":
            _show(prepare(options.name, root))
        elif options.command == "import":
            _show(import_folder(options.source, root, options.name, options.side, options.replace))
        else:
            remove(options.name, root)
    except (UserError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped; nothing half-written was left", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data-dir", type=Path, help="where data sets live (default: SECATEUR_DATA, or data/)")
    parser = Parser(prog="python -m core.data", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", parents=[shared], help="what can be chosen")
    command = commands.add_parser("prepare", parents=[shared], help="make a data set ready")
    command.add_argument("name", help="such as CIFAR10")
    command = commands.add_parser("import", parents=[shared], help="make Folder/NAME from your own images")
    command.add_argument("source", type=Path, help="a folder with one folder a class, or a zip of that")
    command.add_argument("--name", required=True)
    command.add_argument("--side", type=int, default=32, help="height and width in pixels (default: 32)")
    command.add_argument("--replace", action="store_true", help="take the place of an older one of that name")
    command = commands.add_parser("remove", parents=[shared], help="delete an imported data set")
    command.add_argument("name", help="such as Folder/pets")
    return parser


def _show(events: Iterable[Event]) -> None:
    """Print notes as they come, and of the progress a line a second and the last one of every stage."""
    stage, told, held = None, 0.0, None
    for event in events:
        if not isinstance(event, Progress) or event.stage != stage:
            if held:
                print(held)
            stage, told, held = getattr(event, "stage", None), 0.0, None
        if not isinstance(event, Progress) or time.monotonic() - told > 1:
            print(event, flush=True)
            told, held = time.monotonic(), None
        else:
            held = event
    if held:
        print(held)


if __name__ == "__main__":
    sys.exit(main())
