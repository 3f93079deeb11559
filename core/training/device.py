"""Which device to use, and how to have it run at its speed."""

import ctypes
import sys

import torch

from core.errors import UserError


def resolve(name: str = "auto") -> torch.device:
    """`auto` (CUDA, then MPS, then CPU) or a device's name as a device. Raises UserError if it is not there."""
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    device = torch.device(name)
    if device.type == "cuda":
        device = torch.device("cuda", device.index or 0)
        if not torch.cuda.is_available():
            raise UserError(f"The device {name} was asked for, but torch finds no CUDA GPU here: use auto or cpu.")
        if device.index >= torch.cuda.device_count():
            raise UserError(f"The device {name} was asked for, but there are only {torch.cuda.device_count()} GPUs, "
                            "counted from cuda:0.")
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError("The device mps was asked for, but torch finds no Apple GPU here: use auto or cpu.")
    return device


def prepare_process() -> None:
    """Settings of a whole process that trains: no result changes by more than rounding, only speed does."""
    # Pruned and decayed weights drift into denormal numbers, which CPUs handle in microcode.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Have glibc reuse what an activation freed instead of giving it back to the system after every layer.

    Each activation of a batch is larger than glibc's limit for mmap, so that by default every layer of every step
    begins with page faults: a fifth of the time of a small network's step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, which has its own ways
        return
    trim_threshold, mmap_max = -1, -4  # M_TRIM_THRESHOLD and M_MMAP_MAX of malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
