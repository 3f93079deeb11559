"""Measures how small the packed file is, and where its bytes are.

    # VGG16 with 5% kept, in 32 clusters
    python -m benchmarks.size
    # and a trained ResNet20 from a file, in 32 clusters
    python -m benchmarks.size --checkpoint resnet20.th

Every file is written to disk, read back and compared bit for bit, except for the numbers that "rest
as float16" rounds. Sizes are in bytes; the bound is the entropy of masks and indices.
"""

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn

from benchmarks.report import Row, write_report
from core import models
from core.checkpoints.matching import match_tensors
from core.checkpoints.reader import read_checkpoint
from core.compress import codec, masks, snip
from core.compress.affine import QuantizedWeight
from core.compress.kmeans import share_model
from core.models.card import ModelCard

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

Rest = Literal["float32", "float16"]
_RESTS: tuple[Rest, ...] = ("float32", "float16")
_LEDGER_PARTS = ("masks", "indices", "tables", "codebooks", "rest", "header", "total")


def trained_network(name: str, path: Path) -> nn.Module:
    """Return the network with the weights of a checkpoint."""
    state = read_checkpoint(path).state
    model = models.build(name, 10)
    model.load_state_dict(match_tensors(state, name, 10).state(state))
    return model


def pruned_network(name: str, density: float) -> nn.Module:
    """Return an untrained network, pruned by SNIP on random images.

    It has run once in training mode, and its biases and BatchNorm are random: they start as ones
    and zeros, which no trained network has.
    """
    torch.manual_seed(0)
    model = models.build(name, 10)
    images = torch.randn(64, 3, 32, 32)
    labels = torch.randint(10, (64,))
    chosen = masks.keep_top(snip.scores(model, images, labels), density)
    for parameter_name, mask in chosen.items():
        model.get_parameter(parameter_name).data *= mask
    with torch.no_grad():
        model(images)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.normal_()
    return model


def measure_file(name: str, model: nn.Module, clusters: int, rest: Rest, note: str) -> Row:
    """Return a row of the table: where the bytes of the packed file are, and how long it takes."""
    state: dict[str, Tensor | QuantizedWeight] = {
        **model.state_dict(),
        **share_model(model, clusters),
    }
    card = ModelCard(model=name, classes=CIFAR10, mean=MEAN, std=STD, side=32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        began = time.perf_counter()
        ledger = codec.save(path, state, card, rest)
        packed_at = time.perf_counter()
        loaded = codec.load(path).state()
        loaded_at = time.perf_counter()
        assert path.stat().st_size == ledger.total
    _check_loaded(loaded, state, rest)
    bound = ledger.bound + ledger.codebooks + ledger.rest
    return {
        "network": name,
        "weights": note,
        "clusters": clusters,
        "rest as": rest,
        "float": ledger.float_bytes,
        **{part: getattr(ledger, part) for part in _LEDGER_PARTS},
        "times smaller": round(ledger.ratio, 1),
        "over bound + uncoded": f"{100 * (ledger.total / bound - 1):.2f}%",
        "pack s": round(packed_at - began, 2),
        "load s": round(loaded_at - packed_at, 2),
    }


def _check_loaded(
    loaded: Mapping[str, Tensor], packed: Mapping[str, Tensor | QuantizedWeight], rest: Rest
) -> None:
    """Check that the file holds what was packed; plain tensors may be rounded to `rest`."""
    for name, item in packed.items():
        if isinstance(item, Tensor):
            rounded = item.to(getattr(torch, rest)).to(item.dtype)
            assert torch.equal(loaded[name], item) or torch.equal(loaded[name], rounded), name
        else:
            assert torch.equal(loaded[name], item.decode()), name


def main() -> None:
    """Print the table and write results/size.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--checkpoint", type=Path, help="a trained network, as .pt, .pth or .th")
    parser.add_argument(
        "--model", default="ResNet20", help="the network of --checkpoint (default: ResNet20)"
    )
    parser.add_argument("--clusters", type=int, default=32)
    options = parser.parse_args()
    cases = []
    if options.checkpoint:
        trained = trained_network(options.model, options.checkpoint)
        cases.append((options.model, trained, "trained, dense"))
    pruned = pruned_network("VGG16", 0.05)
    cases.append(("VGG16", pruned, "5% kept, not trained: SNIP on random images"))
    rows = []
    for name, model, note in cases:
        for rest in _RESTS:
            rows.append(measure_file(name, model, options.clusters, rest, note))
    write_report("size", rows, ["Sizes in bytes, on disk. Every file was read back and compared."])


if __name__ == "__main__":
    main()
