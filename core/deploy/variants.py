"""Makes the calls whose speed is compared: one network on one batch, run in several ways."""

import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from core.deploy.onnx.engine import OnnxEngine
from core.deploy.openvino_engine import OpenVinoEngine, has_openvino
from core.deploy.profile import OperatorTime, read_profile
from core.errors import UserError

Call = Callable[[], object]

_COMPILERS = ("c++", "g++", "clang++", "cl")
_PROFILED_RUNS = 10
_INT8_PRODUCTS = ("avx512_vnni", "avx_vnni", "amx_int8")
_PROGRAMS = ("torch", "onnxruntime", "onnx", "numpy")


@contextmanager
def torch_threads(threads: int) -> Iterator[None]:
    """Let torch compute with so many threads within the context."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def eager_call(
    network: Callable[[torch.Tensor], torch.Tensor], images: NDArray[np.float32]
) -> Callable[[], torch.Tensor]:
    """Return a call of the network in eager PyTorch, as this program tests networks.

    network: on the CPU, in evaluation mode, with its memory in the order channels last. images:
    normalised float32 (N, C, H, W).
    """
    batch = torch.from_numpy(images).contiguous(memory_format=torch.channels_last)

    @torch.inference_mode()
    def call() -> torch.Tensor:
        return network(batch)

    return call


def compiled_call(network: nn.Module, images: NDArray[np.float32]) -> Call:
    """Return a call of the network compiled by `torch.compile`; arguments are as in `eager_call`.

    The first call compiles, which takes up to minutes.
    """
    return eager_call(torch.compile(network, dynamic=False), images)


def has_compiler() -> bool:
    """Whether there is a C++ compiler, which `torch.compile` needs on the CPU."""
    chosen = os.environ.get("CXX")
    return any(shutil.which(name) for name in ([chosen] if chosen else _COMPILERS))


def require_compiler() -> None:
    """Raise UserError if `torch.compile` cannot work on the CPU."""
    if not has_compiler():
        raise UserError(
            "torch.compile needs a C++ compiler, and there is none here: install one, or measure"
            " without it."
        )


def onnx_call(model: bytes, images: NDArray[np.float32], threads: int) -> Call:
    """Return a call of an ONNX file in ONNX Runtime on the CPU."""
    engine = OnnxEngine(model, threads)
    return lambda: engine.run(images)


def openvino_call(model: bytes, images: NDArray[np.float32], threads: int) -> Call:
    """Return a call of an ONNX file in OpenVINO on the CPU. Raises UserError if that is missing."""
    engine = OpenVinoEngine(model, threads=threads)
    return lambda: engine.run(images)


def profile_onnx(model: bytes, images: NDArray[np.float32], threads: int) -> list[OperatorTime]:
    """Return the time of each operator of an ONNX file on a batch, the slowest first."""
    with tempfile.TemporaryDirectory(prefix="profile-") as folder:
        engine = OnnxEngine(model, threads, Path(folder))
        for _ in range(_PROFILED_RUNS):
            engine.run(images)
        return read_profile(engine.end_profile())


def has_int8_products() -> bool | None:
    """Whether this x86 processor adds up 8-bit products in one instruction (VNNI or AMX).

    None where that is not known. Without one, 8 bits are hardly faster than float in a good engine.
    """
    # Older versions of torch do not have this function.
    capabilities: dict[str, Any] = getattr(torch.cpu, "get_capabilities", dict)()
    if "avx2" not in capabilities:
        return None
    return any(capabilities.get(name, False) for name in _INT8_PRODUCTS)


def program_versions() -> dict[str, str]:
    """Return the versions of Python and of the packages that compute, by name."""
    programs = (*_PROGRAMS, "openvino") if has_openvino() else _PROGRAMS
    packages = {program: metadata.version(program) for program in programs}
    return {"python": platform.python_version(), **packages}
