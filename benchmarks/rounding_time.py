"""Measures how long compensated rounding takes, and how much memory beyond the network's.

    python -m benchmarks.rounding_time                    # VGG16 in 5 clusters
    python -m benchmarks.rounding_time --networks ResNet20 VGG16 --clusters 8

The networks have their initial weights, on which time and memory do not depend. Rounding uses the
usual 1,024 training images of CIFAR10. Each network is rounded in a process of its own.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import torch

from benchmarks.report import Row, write_report
from core import data
from core.compress.kmeans import share_weights
from core.compress.rounding.network import round_network
from core.config import KMeansRecipe, data_root
from core.data.batches import DeviceImages
from core.data.imageset import subset
from core.events import result_of
from core.models import build
from core.models.parameters import prunable_weights

_BATCH = 128


def measure(name: str, clusters: int) -> Row:
    """Round one network in this process, and return its row of the table."""
    dataset = data.load("CIFAR10", data_root(None))
    torch.manual_seed(0)
    network = build(name, len(dataset.classes)).eval().to(memory_format=torch.channels_last)
    images = KMeansRecipe().round_images
    rounded_on = DeviceImages(
        subset(dataset.train, images, 0), dataset.mean, dataset.std, torch.device("cpu")
    )
    batches = [
        rounded_on.batch(slice(start, start + _BATCH))[0] for start in range(0, images, _BATCH)
    ]
    weights = {name: weight.detach() for name, weight in prunable_weights(network).items()}
    nearest = {name: share_weights(weight, clusters) for name, weight in weights.items()}
    with torch.inference_mode():
        network(batches[0])  # what a plain forward pass needs does not count
    before = _peak_bytes()
    began = time.perf_counter()
    processor = time.process_time()
    result_of(round_network(network, nearest, list(weights), batches))
    return {
        "network": name,
        "clusters": clusters,
        "images": images,
        "threads": torch.get_num_threads(),
        "seconds": round(time.perf_counter() - began),
        "processor seconds": round(time.process_time() - processor),
        "memory beyond a forward pass, MB": round((_peak_bytes() - before) / 1e6),
    }


def _peak_bytes() -> int:
    """The greatest memory of this process so far."""
    with Path("/proc/self/status").open(encoding="ascii") as status:
        line = next(line for line in status if line.startswith("VmHWM"))
    return 1024 * int(line.split()[1])


def main() -> None:
    """Print the table and write results/rounding_time.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--networks", nargs="+", default=["VGG16"], metavar="NAME")
    parser.add_argument("--clusters", type=int, default=5)
    parser.add_argument("--here", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.here:
        print(json.dumps(measure(options.networks[0], options.clusters)))
        return
    rows = []
    for name in options.networks:
        words = ["--here", "--networks", name, "--clusters", str(options.clusters)]
        command = [sys.executable, "-m", "benchmarks.rounding_time", *words]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
    write_report(
        "rounding_time", rows, ["Initial weights, which time and memory do not depend on."]
    )


if __name__ == "__main__":
    main()
