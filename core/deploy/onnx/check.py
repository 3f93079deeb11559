"""Compares an exported network with the one in PyTorch, on the same images."""

import numpy as np
import torch
from torch import Tensor, nn

from core.deploy.onnx.testing import Engine
from core.errors import UserError
from core.models.state import preserve_state

MOST_DIFFERENCE = 1e-4
"""The largest difference of a logit that rounding in float32 explains, for logits of up to 1.

Rounding is relative: of larger logits, it is so many times the largest one.
"""

_BATCH = 64  # images


def check_against_torch(
    engine: Engine, network: nn.Module, images: Tensor, most: float = MOST_DIFFERENCE
) -> float:
    """Return the largest difference between a logit of the exported file and of the network.

    engine: has loaded the file. images: float32 (N, 3, side, side), normalised, on the CPU like the
    network. Raises UserError if the difference is more than `most` (times the largest logit, if
    that is more than 1), or NaN.
    """
    largest = 0.0
    scale = 1.0
    with preserve_state(network), torch.inference_mode():
        network.eval()
        for batch in images.split(_BATCH):
            logits = network(batch).numpy()
            difference = engine.run(batch.numpy()) - logits
            largest = float(np.maximum(largest, np.abs(difference).max()))  # NaN stays NaN
            scale = float(np.maximum(scale, np.abs(logits).max()))
    if not largest <= most * scale:
        raise UserError(
            f"The exported network answers differently: a logit differs by {largest:.3g}, more than"
            f" {most * scale:.1g}. Do not use the file."
        )
    return largest
