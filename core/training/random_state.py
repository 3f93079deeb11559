"""Keeps the state of torch's global random generators, from which only dropout draws."""

from collections.abc import Mapping
from typing import Any

import torch


def random_state(device: torch.device) -> dict[str, Any]:
    """Return the state of the generator of the CPU, and of that of a CUDA device, else None."""
    on_cuda = device.type == "cuda"
    return {
        "random": torch.get_rng_state(),
        "random_cuda": torch.cuda.get_rng_state(device) if on_cuda else None,
    }


def restore_random_state(saved: Mapping[str, Any], device: torch.device) -> None:
    """Continue with the state that `random_state` returned."""
    torch.set_rng_state(saved["random"].cpu())
    if saved["random_cuda"] is not None and device.type == "cuda":
        torch.cuda.set_rng_state(saved["random_cuda"].cpu(), device)
