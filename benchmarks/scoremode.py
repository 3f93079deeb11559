"""Compares SNIP's two modes, evaluation and training: what survives, and how well it trains.

    # --train: also train what is not trained yet, which takes minutes for each run
    SECATEUR_DATA=data SECATEUR_RUNS=/tmp/runs python -m benchmarks.scoremode --train

Survivors are counted in VGG16: the channels of each layer but the last that keep an input and an
output, and the share of the kept weights that are on a path from the image to an output. Accuracies
are those of `python -m core train`: ResNet20 on 10,000 images of CIFAR-10, 8 epochs, one cycle,
tested after the last epoch. Runs with the same settings that are in the folder of runs count.
"""

import argparse
import subprocess
import sys
from itertools import pairwise, product
from typing import get_args

from torch import Tensor

from benchmarks.report import Row, write_report
from core import data
from core.compress import masks
from core.config import Prune, ScoreMode, TrainRecipe, data_root, runs_root
from core.forecast.paths import live_share
from core.runs.store import RunStore
from core.training import setup

MODES: tuple[ScoreMode, ...] = get_args(ScoreMode)
DENSITIES = (0.05, 0.02, 0.01)
SEEDS = (0, 1)


def count_survivors(mode: ScoreMode) -> list[Row]:
    """Return a row for each density, of VGG16 with its initial weights of seed 0."""
    recipe = TrainRecipe(model="VGG16", dataset="CIFAR10", prune=Prune(score_mode=mode))
    dataset = data.load("CIFAR10", data_root())
    scoring = setup.build_and_score(recipe, dataset)
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            model, scores = end.value
            break
    rows = []
    for density in DENSITIES:
        kept = masks.keep_top(scores, density)
        live = live_share(model, kept, dataset.side)
        rows.append(
            {
                "network": "VGG16",
                "density": density,
                "mode": mode,
                "channels": " ".join(map(str, _surviving_channels(kept))),
                "live share": round(live.share, 4),
            }
        )
    return rows


def _surviving_channels(kept: masks.Masks) -> list[int]:
    """The channels of each layer but the last that keep an input and an output."""
    layers = list(kept.values())
    return [
        int((_rows(layer) & _columns(following)).sum()) for layer, following in pairwise(layers)
    ]


def _rows(mask: Tensor) -> Tensor:
    return mask.flatten(1).any(1)


def _columns(mask: Tensor) -> Tensor:
    return mask.transpose(0, 1).flatten(1).any(1)


def training_recipe(mode: ScoreMode, density: float, seed: int) -> TrainRecipe:
    """Return the settings of one training."""
    return TrainRecipe(
        model="ResNet20",
        dataset="CIFAR10",
        prune=Prune(density=density, score_mode=mode),
        epochs=8,
        train_images=10_000,
        schedule="onecycle",
        seed=seed,
        keep_every=0,
        precision="float32",  # the same in all runs, whatever is the faster one here
    )


def trained_accuracy(recipe: TrainRecipe, train: bool) -> float | None:
    """Return the test accuracy of a finished run with these settings, or None if there is none.

    train: make the run if it is missing.
    """
    from core.commands.train import train_command

    store = RunStore(runs_root())
    for run in store.list():
        if run.recipe == recipe and run.status.summary is not None:
            return run.status.summary.test_accuracy
    if not train:
        return None
    words = train_command(recipe).split()[1:]
    subprocess.run([sys.executable, *words], check=True, stdout=sys.stderr)
    return trained_accuracy(recipe, train=False)


def measure_trainings(train: bool) -> list[Row]:
    """Return a row for each training that is done."""
    rows = []
    for density, seed, mode in product(reversed(DENSITIES), SEEDS, MODES):
        accuracy = trained_accuracy(training_recipe(mode, density, seed), train)
        if accuracy is not None:
            rows.append(
                {
                    "network": "ResNet20",
                    "density": density,
                    "mode": mode,
                    "seed": seed,
                    "test accuracy": accuracy,
                }
            )
    return rows


def main() -> None:
    """Print the table and write results/scoremode.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--train", action="store_true")
    options = parser.parse_args()
    rows = [row for mode in MODES for row in count_survivors(mode)]
    rows += measure_trainings(options.train)
    wanted = len(DENSITIES) * len(SEEDS) * len(MODES)
    done = sum("seed" in row for row in rows)
    notes = [] if done == wanted else [f"{done} of {wanted} trainings are done."]
    write_report("scoremode", rows, notes)


if __name__ == "__main__":
    main()
