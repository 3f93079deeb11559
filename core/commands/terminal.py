"""The part that all commands share: arguments, working on a run, printing, and exit codes.

A command returns 0 after a finished run and 1 after a failed or stopped one. It returns 2 for wrong
arguments, with one line on standard error, before anything is made.
"""

import argparse
import contextlib
import json
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NoReturn, TextIO

from core.config import data_root, runs_root
from core.errors import UserError
from core.events import EpochEnd, Event, Progress
from core.jobs.check import check_dataset, check_device
from core.runs import launch
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.tags import Tags, check_tags
from core.runs.worker import Stop, work

DATA_DIR = {"data_dir": "--data-dir"}
"""The name of the folder of the data sets in an error, for `core.jobs.check`."""

TAG_FLAG = "--tag"

_GO_WITH_RESUME = ("resume", "data_dir", "runs_dir", "json", "local")


class Parser(argparse.ArgumentParser):
    """An argument parser that answers a wrong argument with one line and exit code 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message}\n")

    def parse_run(self, words: Sequence[str] | None, what: str = "run") -> argparse.Namespace:
        """Parse the words of a command that makes a run, or resumes one.

        --resume takes no flag that is about a new run. what: a word for what is made and resumed.
        """
        options = self.parse_args(words)
        if options.resume is not None:
            typed = self._typed_flags(words)
            unwanted = [flag for name, flag in typed.items() if name not in _GO_WITH_RESUME]
            if unwanted:
                self.error(
                    f"--resume continues a {what} with its own settings, so it takes no"
                    f" {', '.join(unwanted)}"
                )
        return options

    def _typed_flags(self, words: Sequence[str] | None) -> dict[str, str]:
        """Return the flags that were typed, by the name of their value."""
        untyped = object()
        values = argparse.Namespace(**{action.dest: untyped for action in self._actions})
        self.parse_args(words, values)
        flags: dict[str, str] = {}
        for action in self._actions:
            if getattr(values, action.dest) not in (untyped, None):
                flag = action.option_strings[0] if action.option_strings else str(action.metavar)
                flags.setdefault(action.dest, flag)
        return flags

    def add_data_dir(self) -> None:
        """Add --data-dir, the folder of the data sets."""
        self.add_argument(
            "--data-dir",
            metavar="FOLDER",
            help="folder of the data sets [SECATEUR_DATA, or data/ in the app's folder]",
        )

    def add_runs_dir(self) -> None:
        """Add --runs-dir, the folder of the runs."""
        self.add_argument(
            "--runs-dir",
            metavar="FOLDER",
            help="folder of the runs [SECATEUR_RUNS, or runs/ in the app's folder]",
        )

    def add_tags(self, help_text: str) -> None:
        """Add --tag, which takes one or more tags."""
        self.add_argument(TAG_FLAG, metavar="NAME", nargs="+", default=[], help=help_text)

    def add_json(self) -> None:
        """Add --json."""
        self.add_argument(
            "--json",
            action="store_true",
            help="print one JSON object as the last line of standard output, and everything else"
            " to standard error",
        )

    def add_run_options(self) -> None:
        """Add the flags of every command that makes a run: those that `run_command` reads."""
        self.add_argument("--name", default="", help="the run's name in the app")
        self.add_tags("the run's tags in the app")
        self.add_argument(
            "--resume",
            metavar="RUN",
            help="continue this stopped run with its own settings, instead of making a new one",
        )
        self.add_data_dir()
        self.add_runs_dir()
        self.add_json()


def text_stream(options: argparse.Namespace) -> TextIO:
    """Return the stream for everything but the JSON object of --json."""
    return sys.stderr if options.json else sys.stdout


def existing_runs(options: argparse.Namespace) -> RunStore:
    """Return the store of --runs-dir, for a command that makes no run.

    Raises UserError if the flag names no folder, which would look like a store without runs.
    """
    if options.runs_dir is not None and not runs_root(options.runs_dir).is_dir():
        raise UserError(f"--runs-dir must be a folder of runs, got {options.runs_dir}")
    return RunStore(runs_root(options.runs_dir))


def typed_tags(options: argparse.Namespace) -> Tags:
    """Return the tags of --tag. Raises UserError, naming the flag, for other words."""
    return check_tags(options.tag, TAG_FLAG)


def run_command(
    program: str,
    options: argparse.Namespace,
    create_run: Callable[[RunStore], Run],
    json_keys: Sequence[str],
) -> int:
    """Make a run, or reopen the one to resume, work on it to its end, and return the exit code.

    program: the command as it is typed, for messages. options: those of `Parser.add_run_options`.
    json_keys: keys of the object that --json prints, see `run_result`.
    """
    try:
        store = RunStore(runs_root(options.runs_dir))
        store.tidy()
        run = create_run(store) if options.resume is None else _reopen(store, options)
    except UserError as error:
        print(f"{program}: {error}", file=sys.stderr)
        return 2
    run = work_to_end(run, options)
    if run.state != "finished":
        print(_explain_end(run, program), file=sys.stderr)
        return 1
    if options.json:
        result = run_result(run)
        print(json.dumps({key: result[key] for key in json_keys}))
    return 0


def run_result(run: Run) -> dict[str, Any]:
    """Return the figures of a finished run, and its run_id, parent and kind."""
    assert run.status.summary is not None, "the run is not finished"
    return {
        "run_id": run.id,
        "parent": run.config.parent,
        "kind": run.recipe.kind,
        **run.status.summary.model_dump(),
    }


def follow_events(events: Iterator[Event], stop: Stop, out: TextIO) -> None:
    """Print the events of work that ends with a checkpoint when `stop` is set."""
    with contextlib.suppress(KeyboardInterrupt):
        try:
            print_events(events, out)
        except OSError:  # the terminal is gone, so nobody follows the work any more
            stop.set()
            for _ in events:
                pass


def print_events(events: Iterable[Event], out: TextIO) -> None:
    """Print events as lines, with a progress bar where `out` is a terminal."""
    if out.isatty():
        _print_with_bar(events, out)
    else:
        _print_lines(events, out)


def _print_lines(events: Iterable[Event], out: TextIO) -> None:
    for event in events:
        if isinstance(event, Progress):
            continue
        print(event, file=out)
        if isinstance(event, EpochEnd):
            out.flush()


def _print_with_bar(events: Iterable[Event], out: TextIO) -> None:
    from tqdm import tqdm

    bar = None
    for event in events:
        if not isinstance(event, Progress):
            tqdm.write(str(event), file=out)
            continue
        if bar is None or bar.desc != event.stage:
            if bar is not None:
                bar.close()
            bar = tqdm(
                desc=event.stage,
                total=event.total or None,
                unit=f" {event.unit}",
                unit_scale=event.unit == "bytes",
                file=out,
                leave=False,
            )
        bar.update(event.done - bar.n)
        if event.loss is not None:
            bar.set_postfix(loss=f"{event.loss:.3f}")
    if bar is not None:
        bar.close()


def work_to_end(run: Run, options: argparse.Namespace) -> Run:
    """Work on a run in this process, print its events, and return the run as it is afterwards."""
    out = text_stream(options)
    print(f"Run {run.id} in {run.path}", file=out, flush=True)
    stop = Stop().listen()
    follow_events(work(run, data_root(options.data_dir), stop), stop, out)
    return RunStore(run.path.parent).get(run.id)


def _reopen(store: RunStore, options: argparse.Namespace) -> Run:
    """Return a stopped run, ready to be continued. Raises UserError for any other run."""
    try:
        run = store.get(options.resume)
    except UserError as error:
        raise UserError(f"--resume: {error}") from None
    names = DATA_DIR | {"dataset": "--resume: its data set"}
    check_dataset(run.dataset, data_root(options.data_dir), names)
    check_device(run.recipe.device, "--resume")
    if not launch.reopen(run, take_back=True):
        raise UserError(
            f"--resume takes a run that has stopped before its end, {run.id} is {run.state}"
        )
    return run


def _explain_end(run: Run, program: str) -> str:
    """Return why a run did not finish, and how to continue it."""
    if run.state == "failed":
        text = f"The run failed: {run.status.message}"
    else:
        text = f"The run was {run.state}. {run.status.message}"
    if run.resumable:
        text += f" Continue with: {program} --resume {run.id}"
    return text


def require_run(options: argparse.Namespace, verb: str) -> None:
    """Raise UserError if RUN was not typed. verb: what is done to its network, such as "pruned"."""
    if options.run is None:
        raise UserError(f"RUN is missing: the id of the finished run whose network is to be {verb}")


def named_run(options: argparse.Namespace, store: RunStore) -> Run:
    """Return the run that RUN names. Raises UserError, beginning with "RUN", if there is none."""
    try:
        return store.get(options.run)
    except UserError as error:
        raise UserError(f"RUN: {error}") from None
