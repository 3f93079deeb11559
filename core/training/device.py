"""Chooses the device of a run, and prepares the process to use it at full speed."""

import ctypes
import sys

import torch

from core.config import Precision
from core.errors import UserError


def choose_device(name: str = "auto") -> torch.device:
    """Return the device of this name; "auto" takes CUDA, then MPS, then the CPU.

    Raises UserError if this machine does not have the device.
    """
    if name == "auto":
        name = _fastest_device()
    device = torch.device(name)
    if device.type == "cuda":
        return _checked_gpu(torch.device("cuda", device.index or 0), name)
    if device.type == "mps" and not torch.backends.mps.is_available():
        raise UserError(
            "The device mps was requested, but torch finds no Apple GPU here: use auto or cpu."
        )
    return device


def choose_devices(name: str, count: int) -> list[torch.device]:
    """Return the devices of `count` processes that train together: GPUs from cuda:0, or the CPU.

    Raises UserError if this machine does not have them.
    """
    if count == 1:
        return [choose_device(name)]
    device = choose_device(name)
    if sys.platform == "win32":
        raise UserError(f"{count} devices need Linux or macOS: use 1.")
    if ":" in name or device.type == "mps":
        raise UserError(f"{count} devices need the device auto, cpu or cuda, got {device}.")
    if device.type == "cpu":
        return [device] * count
    available = torch.cuda.device_count()
    if available < count:
        raise UserError(f"{count} devices were requested, but torch finds {available} GPU here.")
    return [torch.device("cuda", index) for index in range(count)]


def _fastest_device() -> str:
    if torch.cuda.is_available():
        return "cuda"
    if torch.backends.mps.is_available():
        return "mps"
    return "cpu"


def _checked_gpu(device: torch.device, name: str) -> torch.device:
    """Return the GPU if torch can use it; `name` is how the user wrote it in the recipe."""
    if not torch.cuda.is_available():
        raise UserError(
            f"The device {name} was requested, but torch finds no CUDA GPU here: use auto or cpu."
        )
    count = torch.cuda.device_count()
    if device.index >= count:
        raise UserError(
            f"The device {name} was requested, but there are only {count} GPUs, counted from"
            " cuda:0."
        )
    return device


def usual_precision(device: torch.device) -> Precision:
    """Return the precision of training steps on this device where nothing else was chosen."""
    if device.type == "cuda" and torch.cuda.is_bf16_supported():
        return "bfloat16"
    return "float32"


def computes_in_bfloat16() -> bool:
    """Whether this machine's CPU multiplies matrices in bfloat16, rather than emulate that."""
    # torch has no public name for these facts in all versions that are allowed.
    checks = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    return any(getattr(torch.cpu, check, bool)() for check in checks)


def prepare_process() -> None:
    """Change settings of the whole process for training speed.

    Results change by no more than rounding.
    """
    # Pruned and decayed weights drift into denormal numbers, which CPUs handle in microcode.
    torch.set_flush_denormal(True)
    torch.set_float32_matmul_precision("high")
    torch.backends.cudnn.benchmark = True
    if sys.platform == "linux":
        _keep_freed_memory()


def _keep_freed_memory() -> None:
    """Make glibc reuse the memory of a freed activation instead of returning it to the system.

    Each activation of a batch is larger than glibc's limit for mmap. By default every layer of
    every step would therefore begin with page faults, which take a fifth of the time of a small
    network's step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError):  # another C library, without mallopt
        return
    trim_threshold = -1  # M_TRIM_THRESHOLD of malloc.h
    mmap_max = -4  # M_MMAP_MAX of malloc.h
    mallopt(mmap_max, 0)
    mallopt(trim_threshold, 2**31 - 1)
