"""Test the networks of finished runs on the whole test set, and compare their answers.

python -m core answers RUN
python -m core answers RUN RUN --csv answers.csv
"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from core import data
from core.commands.answers_report import AnswersReport
from core.commands.terminal import DATA_DIR, Parser, follow_events, print_events, text_stream
from core.config import data_root, runs_root
from core.data.imageset import Dataset
from core.errors import UserError
from core.files import write_atomically
from core.inspect.behaviour.answers import Answers, hash_test_set
from core.inspect.behaviour.table import answers_csv
from core.jobs.check import check_dataset
from core.runs import launch
from core.runs.answers import check_classes, check_comparable, read_answers, request_answers
from core.runs.comparison.compared import unique_names
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.worker import Stop, work

PROGRAM = "python -m core answers"


class _TestError(Exception):
    """A test did not finish. The text says why, and how to go on."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 0, 1 if a test failed or was stopped, or 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    store = RunStore(runs_root(options.runs_dir))
    try:
        runs = _chosen_runs(store, options)
        dataset = _test_set(runs, options)
        answers = {run.id: _answers_of(store, run, dataset, options) for run in runs}
        _report(runs, answers, dataset, options)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    except (_TestError, OSError) as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Test the networks of finished runs on the whole test set, each once, as the Answers"
            " page does. The others are compared with the first one: which images they break and"
            " fix, and how likely chance alone is (McNemar's exact test)."
        ),
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the ids of finished runs")
    parser.add_argument(
        "--csv", type=Path, metavar="FILE", help="write the answers for every image to this file"
    )
    parser.add_data_dir()
    parser.add_runs_dir()
    parser.add_json()
    return parser


# -- the networks and their test set --


def _chosen_runs(store: RunStore, options: argparse.Namespace) -> list[Run]:
    """Return the runs, each once. Raises UserError for those that cannot be tested or compared."""
    if options.csv is not None and (options.csv.is_dir() or not options.csv.parent.is_dir()):
        raise UserError(f"--csv must be a file in a folder that exists, got {options.csv}")
    runs = [_tested_run(store, run_id) for run_id in dict.fromkeys(options.runs)]
    check_comparable(runs)
    return runs


def _tested_run(store: RunStore, run_id: str) -> Run:
    try:
        run = store.get(run_id)
    except UserError as error:
        raise UserError(f"RUN: {error}") from None
    if not run.has_model:
        raise UserError(
            f"RUN: “{run.name}” is {run.state} and has no network in float to test: name a finished"
            " training, import or quantization"
        )
    return run


def _test_set(runs: Sequence[Run], options: argparse.Namespace) -> Dataset:
    """Prepare the data set of the runs if need be. Raises UserError if it has other classes."""
    name = runs[0].dataset
    root = data_root(options.data_dir)
    check_dataset(name, root, DATA_DIR | {"dataset": "RUN: its data set"})
    print_events(data.prepare(name, root), text_stream(options))
    dataset = data.load(name, root)
    check_classes(runs, dataset)
    return dataset


def _answers_of(
    store: RunStore, run: Run, dataset: Dataset, options: argparse.Namespace
) -> Answers:
    """Return the answers of the run's network, after testing it if that was not done before."""
    test_set_hash = hash_test_set(dataset)
    test = request_answers(store, run, test_set_hash)
    if test.state != "finished" and launch.reopen(test):
        stop = Stop().listen()
        events = work(test, data_root(options.data_dir), stop)
        follow_events(events, stop, text_stream(options))
    test = store.get(test.id)
    answers = read_answers(test, run, test_set_hash)
    if answers is None:
        raise _TestError(
            f"The test of “{run.name}” is {test.state}. {test.status.message} The same command"
            " continues it."
        )
    return answers


# -- the report --


def _report(
    runs: Sequence[Run], answers: dict[str, Answers], dataset: Dataset, options: argparse.Namespace
) -> None:
    """Print the accuracies and what changes, and write the file that is wanted."""
    report = AnswersReport.of(unique_names(runs), answers, dataset)
    for line in report.lines():
        print(line, file=text_stream(options))
    if options.csv is not None:
        by_name = {report.names[run_id]: found for run_id, found in answers.items()}
        table = answers_csv(by_name, dataset.test.labels, dataset.classes)
        write_atomically(options.csv, table)
    if options.json:
        print(json.dumps(report.as_json()))
