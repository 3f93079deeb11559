"""Train and compress every combination of lists of settings, one run after the other.

python -m core sweep --model ResNet20 --retrain 1 0.1 0.05 --method snip random --seeds 3 --epochs 8
python -m core sweep --parent RUN --clusters 32 16 8 5 --rounding nearest compensated
python -m core sweep --model LeNet5 ResNet8 --retrain 1 0.5 0.25 --epochs 20 --bytes 100000
"""

import argparse
import json
import sys
from typing import Any

from core.commands.budget import check_bytes
from core.commands.sweep_lists import (
    COMPRESSION_FLAGS,
    PROGRAM,
    SWEEP_NAMES,
    add_lists,
    grid_of,
)
from core.commands.terminal import DATA_DIR, Parser, follow_events, text_stream, typed_tags
from core.commands.train import print_left_out_files
from core.config import BudgetRecipe, data_root, runs_root
from core.errors import UserError
from core.events import result_of
from core.forecast.sweep import forecast
from core.runs.cluster.address import cluster_address
from core.runs.run import MODEL
from core.runs.store import RunStore
from core.runs.sweeps.budgets.best import best_within
from core.runs.sweeps.budgets.fitted import fitted_lines, fitted_networks
from core.runs.sweeps.check import check_chains
from core.runs.sweeps.grid import Chain
from core.runs.sweeps.launch import allow
from core.runs.sweeps.points import points_of
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Sweep
from core.runs.sweeps.worker import work
from core.runs.worker import Stop


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 if all runs of the sweep finished.

    A network that could not fit into its limit is an answer, too.
    """
    options = _parser().parse_run(arguments, "sweep")
    out = text_stream(options)
    try:
        if not options.local:
            cluster_address()  # says what is wrong with it, before a sweep is made
        store = SweepStore(RunStore(runs_root(options.runs_dir)), data_root(options.data_dir))
        sweep = _open(store, options) if options.resume is None else store.get(options.resume)
        if sweep is None:  # only a preview
            return 0
        print(f"Sweep {sweep.id}: {sweep.name}", file=out, flush=True)
        if sweep.alive:
            print("Another process works on it, also on what was added.", file=out)
            return 0
        stop = Stop().listen()
        allow(sweep)
        follow_events(work(sweep, store.data, stop, options.local), stop, out)
        sweep = store.get(sweep.id)
    except UserError as error:
        print(f"{PROGRAM}: {error}", file=sys.stderr)
        return 2
    _report(sweep, options)
    return 0 if sweep.state == "finished" else 1


def _open(store: SweepStore, options: argparse.Namespace) -> Sweep | None:
    """Make the sweep, or extend one, after saying what it takes; None if that was all to do."""
    if options.add_to is not None and options.name:
        raise UserError("--add-to and --name exclude each other: the sweep has a name already")
    tags = typed_tags(options)
    print_left_out_files()
    chains = grid_of(options).chains()
    _check(chains, store, options)
    print(_preview(store, chains, options), file=text_stream(options), flush=True)
    if options.preview:
        return None
    if options.add_to is not None:
        return store.add(options.add_to, chains, options.parent, tags)
    return store.create(chains, options.name, options.parent, tags)


def _check(chains: list[Chain], store: SweepStore, options: argparse.Namespace) -> None:
    """Check each recipe before anything is made. Raises UserError."""
    if not chains or not chains[0]:
        raise UserError(f"--parent needs {COMPRESSION_FLAGS}")
    dataset = None if options.parent is None else store.runs.get(options.parent).dataset
    check_chains(chains, store.data, dataset, SWEEP_NAMES | DATA_DIR)
    if options.parent is not None and store.runs.get(options.parent).has_model:
        model = store.runs.get(options.parent).path / MODEL
        for chain in chains:
            if isinstance(chain[0], BudgetRecipe):
                check_bytes(chain[0], model)


def _preview(store: SweepStore, chains: list[Chain], options: argparse.Namespace) -> str:
    """Say how many runs are missing, how long they take, and how much disk they need."""
    missing = [step.recipe for step in store.missing(chains, options.parent)]
    if not missing:
        return "All runs of this sweep are finished already."
    return result_of(forecast(missing, store.data)).describe()


def _report(sweep: Sweep, options: argparse.Namespace) -> None:
    """Print what became of the sweep, and with --json its figures."""
    out = text_stream(options)
    best = best_within(sweep)
    for line in fitted_lines(fitted_networks(sweep)):
        print(line, file=out)
    for answer in best:  # an unfinished sweep may not have come to a limit yet
        if answer.best is not None or answer.too_large or sweep.state == "finished":
            print(answer.describe(), file=out)
    done = sum(step.is_done for step in sweep.steps)
    text = f"{done} of {len(sweep.steps)} runs are finished."
    if sweep.state != "finished":
        text += f" Continue with: {PROGRAM} --resume {sweep.id}"
    print(text, file=out)
    if options.json:
        points = [
            {"run_id": point.run.id, "test_accuracy": point.accuracy, "settings": point.settings}
            for point in points_of(sweep)
        ]
        figures: dict[str, Any] = {"sweep_id": sweep.id, "state": sweep.state, "points": points}
        if any(step.recipe.kind == "budget" for step in sweep.steps):
            figures["fitted"] = [made.to_dict() for made in fitted_networks(sweep)]
            figures["best"] = [answer.to_dict() for answer in best]
        print(json.dumps(figures))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Try every combination of lists of settings. Each combination is a run like any other."
            " What a sweep ran before is not run again, so it can be asked for twice, stopped and"
            " extended. Every flag of a setting takes several values."
        ),
    )
    add_lists(parser)
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="the seeds 0 to N - 1, instead of --seed"
    )
    parser.add_argument("--parent", metavar="RUN", help="compress this run, and train nothing")
    parser.add_argument("--add-to", metavar="SWEEP", help="add the combinations to this sweep")
    parser.add_argument("--resume", metavar="SWEEP", help="continue this sweep as it is")
    parser.add_argument(
        "--preview", action="store_true", help="say what would be run, and run nothing"
    )
    parser.add_argument(
        "--local",
        action="store_true",
        help="work on this machine, although RAY_ADDRESS names a cluster",
    )
    parser.add_argument("--name", default="", help="the sweep's name in the app")
    parser.add_tags("tags of all its runs in the app")
    parser.add_data_dir()
    parser.add_runs_dir()
    parser.add_json()
    return parser
