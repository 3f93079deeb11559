"""Compares compensated pruning of trained networks with pruning by magnitude, without fine-tuning.

    python -m benchmarks.pruning_trained --runs-dir RUNS RUN [RUN ...]

Each RUN is a trained or imported network. Both methods keep the same number of weights of each
layer: as many as the largest weights of the whole network leave it. No labels are used. BatchNorm's
statistics are blended on training images, and the test images only report.
"""

import argparse
import copy
import json
import math
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from benchmarks.report import Row, write_report
from core import data
from core.compress.pruning.trained import choose_counts
from core.compress.sparse.layer import without_smallest
from core.compress.sparse.network import prune_network
from core.config import PruneRecipe, data_root
from core.events import result_of
from core.jobs.compression_images import CompressionImages
from core.jobs.recalibration import recalibrate_
from core.models.parameters import prunable_weights
from core.models.saved import read_model
from core.runs.run import MODEL
from core.runs.store import RunStore
from core.training import setup
from core.training.evaluate import evaluate
from core.training.held_back import split_for_compression


class Comparison:
    """A trained network, the images that it is pruned on, and those that judge the result."""

    def __init__(self, path: Path, data_dir: Path, images: int) -> None:
        """path: the saved model. images: how many to prune on."""
        saved = read_model(path)
        self.card = saved.card
        self.network = saved.network().eval()
        dataset = setup.with_normalisation_of(self.card, data.load(self.card.dataset, data_dir))
        recipe = PruneRecipe(images=images)
        split = split_for_compression(self.card, recipe, dataset)
        device = torch.device("cpu")
        self.images = CompressionImages(recipe, self.card, dataset, split, device)
        self.batches = self.images.learning_batches()
        self.accuracy = self._accuracy(self.network)

    def row(self, density: float) -> Row:
        """Return the row of one density."""
        weights = {name: one.detach() for name, one in prunable_weights(self.network).items()}
        scores = {name: weight.abs() for name, weight in weights.items()}
        kept = choose_counts(scores, weights, density)
        smallest_cut = {
            name: without_smallest(weight, kept[name])[0] for name, weight in weights.items()
        }
        magnitude = self._accuracy(self._with_weights(smallest_cut))
        began = time.perf_counter()
        cpu_began = time.process_time()
        sparse = result_of(prune_network(self.network, kept, self.batches))
        seconds = time.perf_counter() - began
        cpu_seconds = time.process_time() - cpu_began
        network = self._with_weights(sparse.weights)
        compensated = self._accuracy(network)
        result_of(recalibrate_(network, self.network, self.images, "auto"))
        row = {
            "network": self.card.model,
            "density %": round(100 * density),
            "float %": self.accuracy,
            "magnitude %": magnitude,
            "compensated %": compensated,
            "compensated + BatchNorm %": self._accuracy(network),
            "output errors left %": round(100 * (1 - sparse.removed), 1),
            "CPU s": round(cpu_seconds, 1),
            "s": round(seconds, 1),
        }
        print(json.dumps(row), file=sys.stderr, flush=True)
        return row

    def _with_weights(self, weights: Mapping[str, Tensor]) -> nn.Module:
        network = copy.deepcopy(self.network)
        network.load_state_dict(weights, strict=False)
        return network

    def _accuracy(self, network: nn.Module) -> float:
        _, accuracy = evaluate(network, self.images.test)
        return round(100 * accuracy, 2)


def main() -> None:
    """Print the table and write results/pruning_trained.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", metavar="RUN", nargs="+")
    parser.add_argument("--densities", type=float, nargs="+", default=[0.5, 0.3, 0.2, 0.1])
    parser.add_argument("--images", type=int, default=1_024, help="to prune on [1024]")
    parser.add_argument("--runs-dir", required=True)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    store = RunStore(options.runs_dir)
    rows = []
    for run in options.runs:
        path = store.get(run).path / MODEL
        comparison = Comparison(path, data_root(options.data_dir), options.images)
        rows += [comparison.row(density) for density in options.densities]
    test_images = len(comparison.images.test)
    margin = 100 * 1.96 * math.sqrt(0.25 / test_images)
    note = (
        f"Pruned on {options.images:,} training images, without labels and without fine-tuning;"
        f" threads: {torch.get_num_threads()}. Accuracies on all {test_images:,} test images, each"
        f" within {margin:.1f} points at most (95% interval). Layers keep as many weights as the"
        " largest of the whole network leave them. The output errors left are a share of those that"
        " the layers have without their smallest weights. Seconds are of the compensated pruning,"
        " on a machine that does other work too; CPU seconds are those of the process."
    )
    write_report("pruning_trained", rows, [note])


if __name__ == "__main__":
    main()
