"""Compares the weight sharing of all of VGG16 with scikit-learn's KMeans, layer by layer.

    python -m benchmarks.kmeans                  # 32 clusters; scikit-learn takes minutes
    python -m benchmarks.kmeans --quick          # the layers below 300,000 weights

The two take turns on the same cores, and start from centroids that are evenly spaced over the
range. scikit-learn runs with algorithm lloyd, n_init 1, tol 0 and its 300 iterations; ours runs to
the fixed point, however many iterations that takes.
"""

import argparse
import os
import time
import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans

from benchmarks.report import Row, write_report
from core import models
from core.compress.distortion import squared_error
from core.compress.kmeans import share_weights
from core.models.parameters import prunable_weights

_QUICK_WEIGHTS = 300_000


def time_ours(weight: torch.Tensor, clusters: int) -> tuple[float, float]:
    """Return the time in seconds, and the sum of squared errors."""
    began = time.perf_counter()
    codebook = share_weights(weight, clusters)
    seconds = time.perf_counter() - began
    return seconds, squared_error(weight, codebook.decode())


def time_scikit_learn(weight: torch.Tensor, clusters: int) -> tuple[float, float]:
    """Return the time in seconds, and the sum of squared errors, of scikit-learn's KMeans."""
    values = weight.numpy().reshape(-1, 1)
    start = np.linspace(values.min(), values.max(), clusters, dtype=values.dtype)[:, None]
    kmeans = KMeans(clusters, init=start, n_init=1, tol=0, algorithm="lloyd")
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may warn of duplicate values
        kmeans.fit(values)
    seconds = time.perf_counter() - began
    centroids = kmeans.cluster_centers_.astype(np.float32)
    shared = centroids[kmeans.labels_].reshape(weight.shape)
    return seconds, squared_error(weight, torch.from_numpy(shared))


def main() -> None:
    """Print the table and write results/kmeans.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", default="VGG16")
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--layers", type=int, help="number of layers, from the first on [all]")
    parser.add_argument("--quick", action="store_true", help="only layers below 300,000 weights")
    options = parser.parse_args()
    torch.manual_seed(0)
    weights = {
        name: weight.detach()
        for name, weight in prunable_weights(models.build(options.model, 10)).items()
        if not options.quick or weight.numel() < _QUICK_WEIGHTS
    }
    share_weights(torch.randn(1000), 2)  # the first call of a library is slow
    time_scikit_learn(torch.randn(1000), 2)
    rows: list[Row] = []
    our_total = 0.0
    their_total = 0.0
    for name, weight in list(weights.items())[: options.layers]:
        our_seconds, our_error = time_ours(weight, options.clusters)
        their_seconds, their_error = time_scikit_learn(weight, options.clusters)
        our_total += our_seconds
        their_total += their_seconds
        row = _row(name, weight.numel(), our_seconds, their_seconds)
        row["squared error, ours / scikit-learn"] = round(our_error / their_error, 6)
        rows.append(row)
    rows.append(_row("all", sum(row["weights"] for row in rows), our_total, their_total))
    omp_threads = os.environ.get("OMP_NUM_THREADS", "not set")
    write_report(
        "kmeans",
        rows,
        [
            f"{options.model}, {options.clusters} clusters a layer, weights as initialised (seed"
            f" 0); threads: OMP_NUM_THREADS={omp_threads}, torch: {torch.get_num_threads()}."
        ],
    )


def _row(layer: str, weights: int, our_seconds: float, their_seconds: float) -> Row:
    return {
        "layer": layer,
        "weights": weights,
        "ours s": round(our_seconds, 3),
        "scikit-learn s": round(their_seconds, 3),
        "times faster": round(their_seconds / our_seconds, 1),
    }


if __name__ == "__main__":
    main()
