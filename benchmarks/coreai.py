"""Measures what Apple's coreai-opt costs in accuracy when it clusters the weights of a network.

    pip install -r requirements-coreai.txt       # beside the app's own packages
    python -m benchmarks.coreai --runs-dir RUNS RUN

RUN is a float network, such as `python -m core import` makes. coreai-opt compiles its k-means when
it is first used: that takes a C++ compiler, and ninja on the PATH, as in an activated environment.

Each row clusters a fresh copy of the network, without training, and tests it on all test images in
float. Only weights are clustered. "sensitive" is the only method of coreai-opt that looks at
images: each weight counts in the k-means by its squared gradient, summed over training images one
by one. All else is as coreai-opt has it by default. The seconds are those of the clustering,
without the test.
"""

import argparse
import json
import sys
import time
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.report import Row, write_report
from core import data
from core.config import data_root, runs_root
from core.data.batches import DeviceImages
from core.data.imageset import Dataset, subset
from core.models.card import ModelCard
from core.models.parameters import prunable_weights
from core.models.saved import SavedModel, read_model
from core.runs.run import MODEL
from core.runs.store import RunStore
from core.training.evaluate import evaluate

GROUP = 16  # output channels that share their clusters
CALIBRATION = 1024  # training images
SEED = 0  # of the calibration images


@dataclass(frozen=True)
class Setting:
    """How coreai-opt clusters the weights: into 2 ** bits clusters.

    grouped: whether each 16 output channels have clusters of their own, or each layer has.
    sensitive: whether it looks at images.
    """

    bits: int
    grouped: bool
    sensitive: bool = False

    @property
    def title(self) -> str:
        """What the table calls it."""
        place = f"for each {GROUP} channels" if self.grouped else "a layer"
        return f"{2**self.bits} clusters {place}{', sensitive' if self.sensitive else ''}"


SETTINGS = (
    Setting(6, grouped=True),
    Setting(4, grouped=True),
    Setting(3, grouped=True),
    Setting(2, grouped=True),
    Setting(4, grouped=False),
    Setting(3, grouped=False),
    Setting(4, grouped=True, sensitive=True),
    Setting(3, grouped=True, sensitive=True),
    Setting(2, grouped=True, sensitive=True),
    Setting(4, grouped=False, sensitive=True),
    Setting(3, grouped=False, sensitive=True),
)


def cluster(model: nn.Module, setting: Setting, images: DeviceImages) -> nn.Module:
    """Return the network with its weights clustered. The given network is used up.

    images: training images, to calibrate with.
    """
    from coreai_opt.common import ExportBackend
    from coreai_opt.palettization import (
        KMeansPalettizer,
        KMeansPalettizerConfig,
        ModuleKMeansPalettizerConfig,
        PalettizationSpec,
    )
    from coreai_opt.palettization.spec import PerGroupedChannelGranularity, PerTensorGranularity

    if setting.grouped:
        granularity = PerGroupedChannelGranularity(axis=0, group_size=GROUP)
    else:
        granularity = PerTensorGranularity()
    spec = PalettizationSpec(n_bits=setting.bits, granularity=granularity)
    config = ModuleKMeansPalettizerConfig(op_state_spec={"weight": spec})
    palettizer = KMeansPalettizer(model, KMeansPalettizerConfig(global_config=config))
    prepared = palettizer.prepare((images.batch(slice(1))[0],))
    if setting.sensitive:
        with palettizer.calibration_mode(loss_fn=F.cross_entropy) as calibration:
            for start in range(len(images)):
                batch, labels = images.batch(slice(start, start + 1))
                calibration.step(prepared(batch), labels)
    clustered: nn.Module = palettizer.finalize(backend=ExportBackend.Torch)
    return clustered


def compile_kmeans(images: DeviceImages) -> None:
    """Make coreai-opt compile its k-means, so that no row pays for it."""
    cluster(nn.Sequential(nn.Conv2d(3, GROUP, 3)), Setting(2, grouped=False), images)


def float_layers(model: nn.Module, saved: SavedModel) -> list[str]:
    """Return the names of the weights that are as they were."""
    return [
        name
        for name, weight in prunable_weights(model).items()
        if torch.equal(weight, saved.state[name])
    ]


def load_images(dataset: Dataset, card: ModelCard) -> tuple[DeviceImages, DeviceImages]:
    """Return the training images to calibrate with, and all test images."""
    chosen = subset(dataset.train, CALIBRATION, SEED)
    training = DeviceImages(chosen, card.mean, card.std, "cpu")
    return training, DeviceImages(dataset.test, card.mean, card.std, "cpu")


def main() -> None:
    """Print the table and write results/coreai.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--runs-dir", required=True)
    parser.add_argument("--data-dir")
    options = parser.parse_args()
    if find_spec("coreai_opt") is None:
        raise SystemExit(
            "This benchmark needs coreai-opt: python -m pip install -r requirements-coreai.txt"
        )
    version = metadata.version("coreai-opt")
    run = RunStore(runs_root(options.runs_dir)).get(options.run)
    saved = read_model(run.path / MODEL)
    dataset = data.load(saved.card.dataset, data_root(options.data_dir))
    training, test = load_images(dataset, saved.card)
    compile_kmeans(training)
    _, float_accuracy = evaluate(saved.network(), test)
    rows: list[Row] = []
    untouched: dict[str, None] = {}
    for setting in SETTINGS:
        model = saved.network()
        began = time.perf_counter()
        model = cluster(model, setting, training)
        seconds = time.perf_counter() - began
        untouched |= dict.fromkeys(float_layers(model, saved))
        _, accuracy = evaluate(model, test)
        row = {
            "network": f"{saved.card.model} on {dataset.name}",
            "what": setting.title,
            "float %": round(100 * float_accuracy, 2),
            "test accuracy %": round(100 * accuracy, 2),
            "points lost": round(100 * (float_accuracy - accuracy), 2),
            "seconds": round(seconds, 1),
            "coreai-opt": version,
        }
        print(json.dumps(row), file=sys.stderr, flush=True)
        rows.append(row)
    notes = [
        f"{len(test):,} test images, in float, on the CPU with {torch.get_num_threads()} threads."
        f" Sensitive: {len(training):,} training images."
    ]
    if untouched:
        notes.append(
            f"coreai-opt left in float where its channels are no multiple of {GROUP}:"
            f" {', '.join(untouched)}."
        )
    write_report("coreai", rows, notes)


if __name__ == "__main__":
    main()
