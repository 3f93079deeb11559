"""Weight sharing of all of VGG16 beside scikit-learn's KMeans, layer by layer in turns, on the same cores.

    python -m benchmarks.kmeans                  # 32 clusters; scikit-learn takes minutes
    python -m benchmarks.kmeans --quick          # the layers below 300,000 weights

Both start from centroids that are evenly spaced over the range. scikit-learn: algorithm lloyd, n_init 1, tol 0, its
300 iterations; ours runs to the fixed point, however many that takes.
"""

import argparse
import os
import time
import warnings

import numpy as np
import torch
from sklearn.cluster import KMeans

from benchmarks import report
from core import models
from core.compress.distortion import inertia
from core.compress.kmeans import share_weights
from core.models.parameters import prunable


def ours(weight: torch.Tensor, clusters: int) -> tuple[float, float]:
    """Seconds, and the sum of squared errors."""
    began = time.perf_counter()
    codebook = share_weights(weight, clusters)
    seconds = time.perf_counter() - began
    return seconds, inertia(weight, codebook.decode())


def scikit_learn(weight: torch.Tensor, clusters: int) -> tuple[float, float]:
    """The same of scikit-learn's KMeans, from the same start."""
    values = weight.numpy().reshape(-1, 1)
    start = np.linspace(values.min(), values.max(), clusters, dtype=values.dtype)[:, None]
    fit = KMeans(clusters, init=start, n_init=1, tol=0, algorithm="lloyd")
    began = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it may tell of duplicates
        fit.fit(values)
    seconds = time.perf_counter() - began
    shared = fit.cluster_centers_.astype(np.float32)[fit.labels_].reshape(weight.shape)
    return seconds, inertia(weight, torch.from_numpy(shared))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="VGG16")
    parser.add_argument("--clusters", type=int, default=32)
    parser.add_argument("--layers", type=int, help="only the first so many")
    parser.add_argument("--quick", action="store_true", help="only layers below 300,000 weights")
    options = parser.parse_args()
    torch.manual_seed(0)
    weights = {name: weight.detach() for name, weight in prunable(models.build(options.model, 10)).items()
               if not options.quick or weight.numel() < 300_000}
    share_weights(torch.randn(1000), 2)  # the libraries' first call
    scikit_learn(torch.randn(1000), 2)
    rows, totals = [], np.zeros(2)
    for name, weight in list(weights.items())[:options.layers]:
        (mine, error), (theirs, other) = ours(weight, options.clusters), scikit_learn(weight, options.clusters)
        totals += mine, theirs
        rows.append({"layer": name, "weights": weight.numel(), "ours s": round(mine, 3),
                     "scikit-learn s": round(theirs, 3), "times faster": round(theirs / mine, 1),
                     "squared error, ours / scikit-learn": round(error / other, 6)})
    rows.append({"layer": "all", "weights": sum(row["weights"] for row in rows), "ours s": round(totals[0], 3),
                 "scikit-learn s": round(totals[1], 3), "times faster": round(totals[1] / totals[0], 1)})
    threads = f"OMP_NUM_THREADS={os.environ.get('OMP_NUM_THREADS', 'not set')}, torch: {torch.get_num_threads()}"
    report.write("kmeans", rows, [
        f"{options.model}, {options.clusters} clusters a layer, weights as initialised (seed 0); threads: {threads}."])


if __name__ == "__main__":
    main()
