"""How small the packed file is, and where its bytes are.

    python -m benchmarks.size                                    # VGG16 with 5% kept, in 32 clusters
    python -m benchmarks.size --checkpoint resnet20.th           # and a trained ResNet20 from a file, in 32 clusters

Every file is written to disk, read back and compared bit for bit, but for what "rest as float16" rounds. Bytes; the
bound is the entropy of masks and indices.
"""

import argparse
import tempfile
import time
from pathlib import Path

import torch

from benchmarks import report
from core import models
from core.compress import codec, masks, snip
from core.compress.kmeans import share_model
from core.models import checkpoints
from core.models.matching import match

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN, STD = (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)


def trained(name: str, path: Path) -> torch.nn.Module:
    """The network with the weights of a checkpoint."""
    state, model = checkpoints.read(path).state, models.build(name, 10)
    model.load_state_dict(match(state, name, 10).state(state))
    return model


def pruned(name: str, density: float) -> torch.nn.Module:
    """The network as initialised, pruned by SNIP's scores on random images, and then run once in training mode."""
    torch.manual_seed(0)
    model = models.build(name, 10)
    images, labels = torch.randn(64, 3, 32, 32), torch.randint(10, (64,))
    for key, mask in masks.keep_top(snip.scores(model, images, labels), density).items():
        model.get_parameter(key).data *= mask
    with torch.no_grad():
        model(images)
        for parameter in model.parameters():
            if parameter.ndim == 1:  # BatchNorm and biases are ones and zeros at first, which no trained network has
                parameter.normal_()
    return model


def measure(name: str, model: torch.nn.Module, clusters: int, rest: str, note: str) -> dict:
    """A row of the table: the ledger of the packed file, and the seconds of packing and loading."""
    state = {**model.state_dict(), **share_model(model, clusters)}
    card = codec.Card(network=name, classes=CIFAR10, mean=MEAN, std=STD, side=32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.safetensors"
        began = time.perf_counter()
        ledger = codec.save(path, state, card, rest)
        packed_at = time.perf_counter()
        found = codec.load(path).state()
        loaded_at = time.perf_counter()
        assert path.stat().st_size == ledger.total
    for key, item in state.items():
        expected = item if isinstance(item, torch.Tensor) else item.decode()
        rounded = expected.to(getattr(torch, rest)).to(expected) if item is expected else expected
        assert torch.equal(found[key], expected) or torch.equal(found[key], rounded), key
    uncoded = ledger.bound + ledger.codebooks + ledger.rest
    parts = ("float", "masks", "indices", "tables", "codebooks", "rest", "header", "total")
    return {"network": name, "weights": note, "clusters": clusters, "rest as": rest,
            **{part: getattr(ledger, part) for part in parts}, "times smaller": round(ledger.ratio, 1),
            "over bound + uncoded": f"{100 * (ledger.total / uncoded - 1):.2f}%",
            "pack s": round(packed_at - began, 2), "load s": round(loaded_at - packed_at, 2)}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", type=Path, help="a trained network, as .pt, .pth or .th")
    parser.add_argument("--model", default="ResNet20", help="the network of --checkpoint (default: ResNet20)")
    parser.add_argument("--clusters", type=int, default=32)
    options = parser.parse_args()
    cases = [("VGG16", pruned("VGG16", 0.05), "5% kept, not trained: SNIP on random images")]
    if options.checkpoint:
        cases.insert(0, (options.model, trained(options.model, options.checkpoint), "trained, dense"))
    rows = [measure(name, model, options.clusters, rest, note)
            for name, model, note in cases for rest in ("float32", "float16")]
    report.write("size", rows, ["Sizes in bytes, on disk. Every file was read back and compared."])


if __name__ == "__main__":
    main()
