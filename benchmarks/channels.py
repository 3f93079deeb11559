"""Measures what is left of VGG16 when the dead channels of a pruned network are removed.

    # --quick: few repeats, to see that it runs
    SECATEUR_DATA=data python -m benchmarks.channels

The network has its initial weights of seed 0, pruned by scores on 128 images of CIFAR-10. A channel
is dead if no output depends on it. Removing it changes no output in evaluation mode, so what is
left is multiplied densely, on any machine. The time is that of the small network by that of the
network with zeros, for 32 images: the two alternate in one process, and the figure is the median of
the ratios of neighbours.

SNIP in evaluation mode at 5%, 2% and 1% leaves 70%, 53% and 38% of the multiply-adds. The
channels of the paths that `core.compress.pruning.flow` follows give the same three figures.
"""

import argparse
import copy
import statistics
import time
from itertools import product

import torch
from torch import Tensor, nn

from benchmarks.report import Row, write_report
from core import data
from core.compress import masks
from core.compress.channels.dead import compare_costs, find_dead_channels
from core.compress.channels.remove import remove_channels
from core.config import Method, Prune, ScoreMode, TrainRecipe, data_root
from core.data import Dataset
from core.training import setup

SCORINGS: tuple[tuple[Method, ScoreMode], ...] = (
    ("snip", "eval"),
    ("snip", "train"),
    ("channel-snip", "eval"),
)
DENSITIES = (0.05, 0.02, 0.01)
BATCH = 32


def scored_network(
    method: Method, mode: ScoreMode, dataset: Dataset
) -> tuple[nn.Module, dict[str, Tensor]]:
    """Return VGG16 with its initial weights, and their scores on a batch of 128 images."""
    recipe = TrainRecipe(
        model="VGG16",
        dataset="CIFAR10",
        prune=Prune(method=method, score_mode=mode, batches=1),
        batch_size=128,
        device="cpu",
    )
    scoring = setup.build_and_score(recipe, dataset)
    while True:
        try:
            next(scoring)
        except StopIteration as end:
            model, scores = end.value
            return model.to(memory_format=torch.contiguous_format).eval(), scores


def measure_removal(
    model: nn.Module, scores: dict[str, Tensor], density: float, side: int, repeats: int
) -> Row:
    """Return what is left of the network at a density, in channels, work, bytes and time."""
    pruned = copy.deepcopy(model)
    masks.apply_(pruned, masks.keep_top(scores, density))
    smaller = remove_channels(pruned, find_dead_channels(pruned, side))
    report = compare_costs(pruned, smaller, side)
    images = torch.randn(BATCH, 3, side, side, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        difference = (pruned(images) - smaller(images)).abs().max().item()
    return {
        "density": density,
        "channels": " ".join(map(str, list(report.after.channels.values())[:-1])),
        "macs left": round(report.macs_left, 3),
        "weights left": round(report.after.weights / report.before.weights, 4),
        "MB dense": round(_megabytes(pruned), 1),
        "MB smaller": round(_megabytes(smaller), 1),
        "time left": round(_time_ratio(pruned, smaller, images, repeats), 3),
        "difference": f"{difference:.0e}",
    }


def _megabytes(network: nn.Module) -> float:
    """The size of all values in float32, zeros included."""
    return sum(tensor.numel() for tensor in network.state_dict().values()) * 4 / 1e6


@torch.no_grad()
def _time_ratio(network: nn.Module, smaller: nn.Module, images: Tensor, repeats: int) -> float:
    ratios: list[float] = []
    for repeat in range(repeats + 1):
        seconds = _timed(network, images)
        smaller_seconds = _timed(smaller, images)
        if repeat:  # the first round warms up
            ratios.append(smaller_seconds / seconds)
    return statistics.median(ratios)


def _timed(network: nn.Module, images: Tensor) -> float:
    began = time.perf_counter()
    network(images)
    return time.perf_counter() - began


def main() -> None:
    """Print the table and write results/channels.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    dataset = data.load("CIFAR10", data_root())
    rows = []
    for (method, mode), density in product(SCORINGS, DENSITIES):
        if density == DENSITIES[0]:
            model, scores = scored_network(method, mode, dataset)
        row = measure_removal(model, scores, density, dataset.side, 3 if options.quick else 20)
        rows.append({"method": method, "mode": mode, **row})
    write_report(
        "channels",
        rows,
        [f"PyTorch {torch.get_num_threads()} threads; channels of all layers but the last."],
    )


if __name__ == "__main__":
    main()
