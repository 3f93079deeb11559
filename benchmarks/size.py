"""Measures how small the packed file is, beside xz and zstd, and where its bytes are.

    # VGG16 with 5% kept, and dense
    python -m benchmarks.size
    # and trained networks from files
    python -m benchmarks.size --network ResNet20=resnet20.th --network LeNet5=model.safetensors

Every file is written to disk, read back and compared bit for bit. Sizes are in bytes. "xz -9e" and
"zstd -22" compress the same arrays: indices or integers as bytes, masks as bits, centroids, scales,
zero points, all other tensors, and the names, shapes and card as text. They get the arrays in one
piece, each kind of array on its own, and each array on its own, and the smallest counts.
"""

import argparse
import json
import lzma
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import zstandard
from torch import Tensor, nn

from benchmarks.report import Row, write_report
from core import models
from core.checkpoints.matching import match_tensors
from core.checkpoints.reader import read_checkpoint
from core.compress import codec, masks, snip
from core.compress.affine import QuantizedWeight, quantize_model
from core.compress.kmeans import Codebook, share_model
from core.models.card import ModelCard

CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
MEAN = (0.4914, 0.4822, 0.4465)
STD = (0.2470, 0.2435, 0.2616)

_LEDGER_PARTS = ("masks", "indices", "tables", "codebooks", "rest", "header", "total")

_State = Mapping[str, Tensor | QuantizedWeight]


@dataclass(frozen=True)
class Setting:
    """A quantization: its name in the table, and the function that quantizes a network."""

    name: str
    quantize: Callable[[nn.Module], Mapping[str, QuantizedWeight]]


SETTINGS = (
    Setting("32 clusters", lambda model: share_model(model, 32)),
    Setting("5 clusters", lambda model: share_model(model, 5)),
    Setting("8 bits", lambda model: quantize_model(model, 8, axis=0)),
    Setting("4 bits", lambda model: quantize_model(model, 4, axis=0)),
    Setting("float32", lambda model: {}),
)


def trained_network(name: str, path: Path) -> nn.Module:
    """Return the network with the weights of a checkpoint."""
    state = read_checkpoint(path).state
    model = models.build(name, 10)
    model.load_state_dict(match_tensors(state, name, 10).state(state))
    return model


def untrained_network(name: str, density: float) -> nn.Module:
    """Return an untrained network, pruned by SNIP on random images.

    It has run once in training mode, and its biases and BatchNorm are random: they start as ones
    and zeros, which no trained network has.
    """
    torch.manual_seed(0)
    model = models.build(name, 10)
    images = torch.randn(64, 3, 32, 32)
    labels = torch.randint(10, (64,))
    if density < 1:
        chosen = masks.keep_top(snip.scores(model, images, labels), density)
        for parameter_name, mask in chosen.items():
            model.get_parameter(parameter_name).data *= mask
    with torch.no_grad():
        model.train()
        model(images)
        for parameter in model.parameters():
            if parameter.ndim == 1:
                parameter.normal_()
    return model


def measure_file(name: str, model: nn.Module, setting: Setting, note: str) -> Row:
    """Return a row of the table: the bytes of the packed file and of others, and the seconds."""
    state: _State = {**model.state_dict(), **setting.quantize(model)}
    card = ModelCard(model=name, classes=CIFAR10, mean=MEAN, std=STD, side=32)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "packed.secateur"
        began = time.perf_counter()
        ledger = codec.save(path, state, card)
        packed_at = time.perf_counter()
        loaded = codec.load(path)
        loaded_at = time.perf_counter()
        assert path.stat().st_size == ledger.total
    _check_loaded(loaded.state(), state)
    others = other_sizes(state, card)
    return {
        "network": name,
        "weights": note,
        "as": setting.name,
        "float": ledger.float_bytes,
        **{part: getattr(ledger, part) for part in _LEDGER_PARTS},
        "times smaller": round(ledger.ratio, 1),
        "by frequencies": round(ledger.bound),
        **others,
        "of the better": round(ledger.total / min(others.values()), 3),
        "pack s": round(packed_at - began, 2),
        "load s": round(loaded_at - packed_at, 2),
    }


def other_sizes(state: _State, card: ModelCard) -> dict[str, int]:
    """Return the bytes of the same arrays with xz and with zstd."""
    arrays = _plain_arrays(state, card)
    return {"xz -9e": _smallest(arrays, _xz), "zstd -22": _smallest(arrays, _zstd)}


def _plain_arrays(state: _State, card: ModelCard) -> dict[str, list[bytes]]:
    """Return what the file holds, without any coding, by its kind."""
    arrays: dict[str, list[bytes]] = {
        kind: [] for kind in ("masks", "indices", "codebooks", "zero points", "rest", "header")
    }
    for item in state.values():
        if isinstance(item, Tensor):
            arrays["rest"].append(item.detach().numpy().tobytes())
        elif isinstance(item, Codebook):
            indices = item.indices
            if item.mask is not None:
                arrays["masks"].append(np.packbits(item.mask.numpy()).tobytes())
                indices = indices[item.mask]
            arrays["indices"].append(indices.numpy().tobytes())
            arrays["codebooks"].append(item.centroids.numpy().tobytes())
        else:
            arrays["indices"].append(item.values.numpy().tobytes())
            arrays["codebooks"].append(item.scale.numpy().tobytes())
            arrays["zero points"].append(item.zero_point.numpy().astype(np.uint8).tobytes())
    shapes = {
        name: list((item if isinstance(item, Tensor) else item.decode()).shape)
        for name, item in state.items()
    }
    arrays["header"] = [json.dumps(shapes).encode(), card.model_dump_json().encode()]
    return arrays


def _smallest(arrays: Mapping[str, list[bytes]], compress: Callable[[bytes], bytes]) -> int:
    def size(pieces: Iterable[bytes]) -> int:
        return sum(len(compress(piece)) for piece in pieces if piece)

    kinds = [b"".join(pieces) for pieces in arrays.values()]
    every = [piece for pieces in arrays.values() for piece in pieces]
    return min(size([b"".join(kinds)]), size(kinds), size(every))


def _xz(data: bytes) -> bytes:
    return lzma.compress(data, preset=9 | lzma.PRESET_EXTREME)


def _zstd(data: bytes) -> bytes:
    return zstandard.ZstdCompressor(level=22).compress(data)


def _check_loaded(loaded: Mapping[str, Tensor], packed: _State) -> None:
    """Check that the file holds what was packed."""
    for name, item in packed.items():
        expected = item if isinstance(item, Tensor) else item.decode()
        assert torch.equal(loaded[name], expected), name


def main() -> None:
    """Print the table and write results/size.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--network",
        action="append",
        default=[],
        metavar="NAME=FILE",
        help="a trained network for 10 classes, as .pt, .pth, .th or .safetensors; may be repeated",
    )
    options = parser.parse_args()
    rows = []
    for argument in options.network:
        name, _, path = argument.partition("=")
        network = trained_network(name, Path(path))
        kept = _density(network)
        note = "trained, dense" if kept == 1 else f"trained, {100 * kept:.0f}% kept"
        rows += [measure_file(name, network, setting, note) for setting in SETTINGS]
    for density, note in (
        (0.05, "5% kept, not trained: SNIP on random images"),
        (1, "not trained"),
    ):
        network = untrained_network("VGG16", density)
        rows.append(measure_file("VGG16", network, SETTINGS[0], note))
    notes = [
        "Sizes in bytes, on disk. Every file was read back and compared.",
        '"of the better": the file\'s bytes by those of the better of xz and zstd.',
        '"by frequencies": masks and indices by the entropy of each layer.',
    ]
    write_report("size", rows, notes)


def _density(network: nn.Module) -> float:
    weights = [weight for weight in network.parameters() if weight.ndim > 1]
    kept = sum(int(weight.count_nonzero()) for weight in weights)
    return kept / sum(weight.numel() for weight in weights)


if __name__ == "__main__":
    main()
