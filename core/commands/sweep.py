"""Train and quantize every combination of lists of settings, one run after the other.

python -m core sweep --model ResNet20 --retrain 1 0.1 0.05 --method snip random --seeds 3 --epochs 8
python -m core sweep --parent RUN --clusters 32 16 8 5 --rounding nearest compensated
"""

import argparse
import json
import shlex
import sys
from typing import Any

from core.commands.flags import add_field_flag, typed_values
from core.commands.terminal import DATA_DIR, Parser, follow_events, text_stream, typed_tags
from core.commands.train import (
    TRAIN_FLAGS,
    add_prune_type_flag,
    print_left_out_files,
    yes_or_no,
)
from core.config import AffineRecipe, KMeansRecipe, Prune, TrainRecipe, data_root, runs_root
from core.errors import UserError
from core.events import result_of
from core.forecast.sweep import forecast
from core.models import model_info
from core.runs.store import RunStore
from core.runs.sweeps.check import check_chains
from core.runs.sweeps.grid import MOST_CHAINS, Chain, Grid
from core.runs.sweeps.launch import allow
from core.runs.sweeps.points import points_of
from core.runs.sweeps.store import SweepStore
from core.runs.sweeps.sweep import Sweep
from core.runs.sweeps.worker import work
from core.runs.worker import Stop

PROGRAM = "python -m core sweep"
_UNTYPED: dict[str, list[Any]] = {"keep_every": [0]}
"""What a sweep takes for a setting that is not typed, where that differs from the recipe's."""
_KMEANS_FLAGS = {"clusters": "--clusters", "init": "--init"}
_AFFINE_FLAGS = {"bits": "--bits", "range": "--range"}
_BOTH_FLAGS = {"rounding": "--rounding", "epochs": "--tuneepochs"}
_NAMES = TRAIN_FLAGS | _KMEANS_FLAGS | _AFFINE_FLAGS | {"rounding": "--rounding"}


def main(arguments: list[str] | None = None) -> int:
    """Run the command and return its exit code: 0 if all runs of the sweep finished."""
    options = _parser().parse_run(arguments, "sweep")
    out = text_stream(options)
    try:
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


def grid_of(options: argparse.Namespace) -> Grid:
    """Return the lists that were typed. Raises UserError for flags that do not go together."""
    train = typed_values(options, TRAIN_FLAGS)
    if options.seeds is not None:
        if "seed" in train:
            raise UserError("--seeds and --seed exclude each other")
        if not 1 <= options.seeds <= MOST_CHAINS:
            raise UserError(f"--seeds must be in [1, {MOST_CHAINS}], got {options.seeds}")
        if options.parent is not None:
            raise UserError("--parent and --seeds exclude each other: nothing is trained")
        train["seed"] = range(options.seeds)
    kmeans = typed_values(options, _KMEANS_FLAGS)
    affine = typed_values(options, _AFFINE_FLAGS)
    both = typed_values(options, _BOTH_FLAGS)
    if options.parent is None:
        if "model" in train:
            train["model"] = [model_info(name, "--model").name for name in train["model"]]
        # The weights of every epoch of every run would fill the disk.
        train = _UNTYPED | train
        lists: dict[str, Any] | None = train
    else:
        if train:
            flag = TRAIN_FLAGS[next(iter(train))]
            raise UserError(f"--parent and {flag} exclude each other: nothing is trained")
        lists = None
    if both and not kmeans and not affine:
        flag = _BOTH_FLAGS[next(iter(both))]
        raise UserError(f"{flag} needs --clusters or --bits")
    return Grid(
        lists,
        kmeans | both if kmeans else None,
        # On top of clusters, the centroids are rounded to bits, without any images.
        affine | ({} if kmeans else both) if affine else None,
        _NAMES,
    )


def sweep_command(grid: Grid, parent: str | None) -> str:
    """Return the command line that runs these lists. parent: see `SweepStore.create`."""
    words = [PROGRAM]
    if parent is not None:
        words.append(f"--parent {parent}")
    for lists, flags in (
        (grid.train, TRAIN_FLAGS),
        (grid.kmeans, _KMEANS_FLAGS | _BOTH_FLAGS),
        (grid.affine, _AFFINE_FLAGS | _BOTH_FLAGS),
    ):
        for name, values in (lists or {}).items():
            word = f"{flags[name]} {' '.join(dict.fromkeys(_typed(value) for value in values))}"
            if None not in values and values != _UNTYPED.get(name) and word not in words:
                words.append(word)
    return " ".join(words)


def _typed(value: object) -> str:
    return shlex.quote(str(value))


def _check(chains: list[Chain], store: SweepStore, options: argparse.Namespace) -> None:
    """Check each recipe before anything is made. Raises UserError."""
    if not chains or not chains[0]:
        raise UserError("--parent needs --clusters or --bits")
    dataset = None if options.parent is None else store.runs.get(options.parent).dataset
    check_chains(chains, store.data, dataset, _NAMES | DATA_DIR)


def _preview(store: SweepStore, chains: list[Chain], options: argparse.Namespace) -> str:
    """Say how many runs are missing, how long they take, and how much disk they need."""
    missing = [step.recipe for step in store.missing(chains, options.parent)]
    if not missing:
        return "All runs of this sweep are finished already."
    return result_of(forecast(missing, store.data)).describe()


def _report(sweep: Sweep, options: argparse.Namespace) -> None:
    """Print what became of the sweep, and with --json its figures."""
    finished = sum(step.is_finished for step in sweep.steps)
    text = f"{finished} of {len(sweep.steps)} runs are finished."
    if sweep.state != "finished":
        text += f" Continue with: {PROGRAM} --resume {sweep.id}"
    print(text, file=text_stream(options))
    if options.json:
        points = [
            {"run_id": point.run.id, "test_accuracy": point.accuracy, "settings": point.settings}
            for point in points_of(sweep)
        ]
        print(json.dumps({"sweep_id": sweep.id, "state": sweep.state, "points": points}))


def _parser() -> Parser:
    parser = Parser(
        prog=PROGRAM,
        description=(
            "Try every combination of lists of settings. Each combination is a run like any other."
            " What a sweep ran before is not run again, so it can be asked for twice, stopped and"
            " extended. Every flag of a setting takes several values."
        ),
    )
    _add_lists(parser)
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="the seeds 0 to N - 1, instead of --seed"
    )
    parser.add_argument("--parent", metavar="RUN", help="quantize this run, and train nothing")
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


def _add_lists(parser: Parser) -> None:
    for name, flag in TRAIN_FLAGS.items():
        field = name.removeprefix("prune.")
        recipe_type = Prune if name.startswith("prune.") else TrainRecipe
        if name == "prune.layerwise":
            add_prune_type_flag(parser, nargs="+")
        elif field == "augment":
            add_field_flag(
                parser, recipe_type, field, flag, action="store", type=yes_or_no, nargs="+"
            )
        else:
            add_field_flag(parser, recipe_type, field, flag, nargs="+")
    for name, flag in (_KMEANS_FLAGS | _BOTH_FLAGS).items():
        add_field_flag(parser, KMeansRecipe, name, flag, nargs="+")
    for name, flag in _AFFINE_FLAGS.items():
        add_field_flag(parser, AffineRecipe, name, flag, nargs="+")
