"""What the command lines share: one line for a wrong argument, a run worked on while somebody watches, its exit code.

0 after a finished run, 1 after a failed or stopped one, 2 for wrong arguments, before anything was made.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Sequence
from typing import NoReturn, TextIO

from pydantic import BaseModel

from core.config import data_root, runs_root
from core.errors import UserError
from core.events import EpochEnd, Event, Finished, Progress
from core.runs import launch
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.worker import Stop, work


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a wrong argument with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def add_field(self, kind: type[BaseModel], name: str, flag: str, type: Callable | None = None, **more) -> None:
        """A flag for the field `name` of a recipe, with the field's own default and help."""
        field = kind.model_fields[name]
        more = {"default": field.default, "help": help_of(kind, name)} | more
        self.add_argument(flag, dest=name, type=type, **more)

    def add_run_options(self) -> None:
        """The flags of every command that makes a run, for `answer`."""
        self.add_argument("--name", default="", help="the run's name in the app")
        self.add_argument("--resume", metavar="RUN", help="continue this run instead; other settings are then its own")
        self.add_argument("--data-dir", help="folder of the data sets [SECATEUR_DATA, or data/ beside the app]")
        self.add_argument("--runs-dir", help="folder of the runs [SECATEUR_RUNS, or runs/ beside the app]")
        self.add_argument("--json", action="store_true", help="end standard output with the result as one JSON object")


def help_of(kind: type[BaseModel], name: str) -> str:
    """A recipe field's description and default, as argparse takes them."""
    field = kind.model_fields[name]
    return f"{field.description} [{field.default}]".replace("%", "%%")


def answer(program: str, options: argparse.Namespace, create: Callable[[RunStore], Run], keys: Sequence[str]) -> int:
    """Make the run (with `create`) or reopen the one to resume, work on it to its end, and return the exit code.

    program: the command as it is typed, for what it says. options: those of `Parser.add_run_options`. keys: see
    `run_to_end`.
    """
    try:
        store = RunStore(runs_root(options.runs_dir))
        run = _reopened(store, options.resume) if options.resume else create(store)
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    return run_to_end(run, program, options, keys)


def run_to_end(run: Run, program: str, options: argparse.Namespace, keys: Sequence[str]) -> int:
    """Work on a created run in this process, showing its events, and return the exit code.

    With `options.json` the events go to standard error, and standard output ends with one JSON object of `keys`, found
    in the run's summary, or else facts about the run: run_id, parent, kind.
    """
    out = sys.stderr if options.json else sys.stdout
    print(f"Run {run.id} in {run.path}", file=out, flush=True)
    with contextlib.suppress(KeyboardInterrupt):
        show(work(run, data_root(options.data_dir), Stop().listen()), out)
    run = RunStore(run.path.parent).get(run.id)
    if run.state != "finished":
        print(_ending(run, program), file=sys.stderr)
        return 1
    if options.json:
        found = {"run_id": run.id, "parent": run.config.parent, "kind": run.recipe.kind} | run.status.summary
        print(json.dumps({key: found[key] for key in keys}))
    return 0


def show(events: Iterable[Event], out: TextIO) -> None:
    """A progress bar on a terminal, a line an epoch elsewhere; `out` is where people read."""
    from tqdm import tqdm

    bar = None
    for event in events:
        if isinstance(event, Progress):
            if not out.isatty():
                continue
            if bar is None or bar.desc != event.stage:
                if bar is not None:
                    bar.close()
                bar = tqdm(total=event.total or None, desc=event.stage, unit=" " + event.unit, file=out, leave=False,
                           unit_scale=event.unit == "bytes")
            bar.update(event.done - bar.n)
            if event.loss is not None:
                bar.set_postfix(loss=f"{event.loss:.3f}")
        elif not isinstance(event, Finished) or not out.isatty():
            (bar.write if bar is not None else print)(str(event), file=out)
            if isinstance(event, EpochEnd):
                out.flush()
    if bar is not None:
        bar.close()


def _reopened(store: RunStore, id: str) -> Run:
    """The stopped run, ready to be worked on again. Raises UserError for any other."""
    try:
        run = store.get(id)
    except UserError as error:
        raise UserError(f"--resume: {error}") from None
    if not launch.reopen(run):
        raise UserError(f"--resume takes a run that has stopped before its end, {run.id} is {run.state}")
    return run


def _ending(run: Run, program: str) -> str:
    """Why a run did not finish, and how to go on."""
    resume = f" Continue with: {program} --resume {run.id}" if run.resumable else ""
    if run.state == "failed":
        return f"The run failed: {run.status.message}{resume}"
    return f"The run was {run.state}. {run.status.message}{resume}"
