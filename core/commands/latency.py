"""Measure how fast the networks of finished runs are, in PyTorch, in ONNX Runtime and in 8 bits.

python -m core latency RUN
python -m core latency RUN RUN --batch 1 32 --threads 2 --seconds 20 --compile
"""

import argparse
import json
import shlex
import sys
from typing import Any, TextIO

from core.commands.flags import field_help, flag_words, typed_values
from core.commands.terminal import DATA_DIR, Parser, follow_events, text_stream
from core.config import LatencyRecipe, data_root, runs_root, validate_recipe
from core.deploy.latency_report import LatencyReport, table_rows
from core.errors import UserError
from core.jobs.check import check_recipe
from core.runs.latency import read_latency, request_latency
from core.runs.run import Run
from core.runs.store import RunStore
from core.runs.worker import Stop, work

PROGRAM = "python -m core latency"
LATENCY_FLAGS = {
    "batch_sizes": "--batch",
    "threads": "--threads",
    "seconds": "--seconds",
    "compiled": "--compile",
    "seed": "--seed",
}
_COLUMNS = {
    "batch": "batch",
    "variant": "form",
    "median": "median ms",
    "spread": "spread ms",
    "p95": "p95 ms",
    "best": "best ms",
    "speedup": "times as fast",
    "interval": "95% interval",
    "rounds": "rounds",
}
"""The columns of the table, by the name of their figure."""


def main(arguments: list[str] | None = None) -> int:
    """Run the command. Return 0, 1 if a measurement failed, or 2 for wrong arguments."""
    options = _parser().parse_args(arguments)
    store = RunStore(runs_root(options.runs_dir))
    try:
        recipe = latency_recipe(options)
        parents = [_checked_parent(store, run_id, recipe, options) for run_id in options.runs]
        runs = [request_latency(store, parent, recipe) for parent in parents]
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    out = text_stream(options)
    results = []
    for parent, run in zip(parents, runs, strict=True):
        stop = Stop().listen()
        follow_events(work(run, data_root(options.data_dir), stop), stop, out)
        done = store.get(run.id)
        if done.state != "finished":
            print(f"The measurement {done.state}: {done.status.message}", file=sys.stderr)
            return 1
        report = read_latency(done)
        print_report(parent.name, report, out)
        results.append(_as_json(parent, done, report))
    if options.json:
        print(json.dumps({"runs": results}))
    return 0


def latency_recipe(options: argparse.Namespace) -> LatencyRecipe:
    """Return the validated recipe of parsed flags. Raises UserError, naming the flag."""
    values = typed_values(options, LATENCY_FLAGS)
    sizes = values.get("batch_sizes", ())
    names = LATENCY_FLAGS | {f"batch_sizes.{place}": "--batch" for place in range(len(sizes))}
    return validate_recipe(LatencyRecipe, values, names)


def latency_command(recipe: LatencyRecipe, parent_id: str) -> str:
    """Return the command line that measures the network of a run as this recipe does."""
    words = [*PROGRAM.split(), parent_id]
    words += ["--batch", *(str(size) for size in recipe.batch_sizes)]
    for name in ("threads", "seconds", "seed"):
        value = getattr(recipe, name)
        if value != LatencyRecipe.model_fields[name].default:
            words += flag_words(LATENCY_FLAGS[name], value)
    return shlex.join([*words, "--compile"] if recipe.compiled else words)


def print_report(name: str, report: LatencyReport, out: TextIO) -> None:
    """Print the table of the measurement of a run."""
    print(f"\n{name} ({report.model}, {report.dataset})", file=out)
    lines = [list(_COLUMNS.values()), *(_cells(row) for row in table_rows(report))]
    widths = [max(len(line[column]) for line in lines) for column in range(len(_COLUMNS))]
    for line in lines:
        cells = [cell.ljust(width) for cell, width in zip(line, widths, strict=True)]
        print("  ".join(cells).rstrip(), file=out)


def _cells(row: dict[str, Any]) -> list[str]:
    interval = f"{row['low']:.2f} to {row['high']:.2f}"
    values = row | {"interval": interval}
    return [
        f"{values[name]:.2f}" if isinstance(values[name], float) else str(values[name])
        for name in _COLUMNS
    ]


def _checked_parent(
    store: RunStore, run_id: str, recipe: LatencyRecipe, options: argparse.Namespace
) -> Run:
    """Return the run to measure. Raises UserError if it cannot be measured."""
    try:
        parent = store.get(run_id)
    except UserError as error:
        raise UserError(f"RUN: {error}") from None
    names = LATENCY_FLAGS | DATA_DIR | {"dataset": "RUN: its data set"}
    check_recipe(recipe, data_root(options.data_dir), names, parent.dataset)
    return parent


def _as_json(parent: Run, run: Run, report: LatencyReport) -> dict[str, Any]:
    return {"run_id": run.id, "parent": parent.id, **report.model_dump()}


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Measure how fast the networks of finished runs are here: in eager PyTorch, in ONNX"
            " Runtime, and in 8-bit integers (of the newest int8 run made from it, or else rounded"
            " for the measurement alone). Where channels are dead, PyTorch is measured without them"
            " too, and the ONNX files made here have none. All forms run in turn, so that what else"
            " the machine does slows them alike."
        ),
    )
    parser.add_argument("runs", nargs="+", metavar="RUN", help="the ids of finished runs")
    _add(parser, "batch_sizes", nargs="+", type=int, metavar="IMAGES")
    _add(parser, "threads", type=int)
    _add(parser, "seconds", type=float)
    _add(parser, "compiled", action="store_true")
    _add(parser, "seed", type=int)
    parser.add_data_dir()
    parser.add_runs_dir()
    parser.add_json()
    return parser


def _add(parser: Parser, name: str, **settings: Any) -> None:
    """Add the flag of a field of the recipe. One that is not typed is missing in the options."""
    help_text = field_help(LatencyRecipe, name)
    parser.add_argument(LATENCY_FLAGS[name], default=argparse.SUPPRESS, help=help_text, **settings)
