"""The ledger from a file's header alone, against the one of the whole file."""

import subprocess
import sys

import numpy as np
import pytest
import torch
from safetensors.numpy import save as write_safetensors

from core.compress import codec
from core.compress.affine import QuantizedWeight, quantize
from core.compress.kmeans import share_weights
from core.compress.packed.ledger import packed_parts
from core.errors import UserError
from core.models.card import ModelCard

CARD = ModelCard(model="LeNet5", classes=("a",), mean=(0.5,) * 3, std=(0.5,) * 3, side=8)


def test_the_header_alone_tells_the_parts(tmp_path):
    weight = torch.randn(40, 30)
    weight[weight.abs() < 0.5] = 0
    state: dict[str, torch.Tensor | QuantizedWeight] = {
        "shared": share_weights(weight, 5),
        "rounded": quantize(weight),
        "pruned": weight,
        "bias": torch.randn(30),
    }
    path = tmp_path / "packed.secateur"
    ledger = codec.save(path, state, CARD)
    parts = packed_parts(path)
    assert parts == {name: getattr(ledger, name) for name in parts}
    assert list(parts) == ["masks", "indices", "tables", "codebooks", "rest", "header"]
    assert all(parts.values())
    assert sum(parts.values()) == ledger.total == path.stat().st_size


@pytest.mark.parametrize(
    "data",
    [b"", b"no header", write_safetensors({"weight": np.zeros(3, np.float32)})],
)
def test_other_files_are_refused(tmp_path, data):
    path = tmp_path / "other.safetensors"
    path.write_bytes(data)
    with pytest.raises(UserError, match=r"other\.safetensors is no packed file"):
        packed_parts(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"absent\.safetensors is no packed file"):
        packed_parts(tmp_path / "absent.safetensors")


def test_facts_and_parts_need_no_torch():
    script = (
        "import sys\n"
        "import core.compress.packed.ledger\n"
        "import core.compress.pruning.methods\n"
        "import core.compress.distortion\n"
        "assert 'torch' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
