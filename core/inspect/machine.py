"""The machine that trains: facts for a person who wonders how fast this can be."""

import contextlib
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path


@dataclass(frozen=True)
class Machine:
    """What is known without loading torch: `cores` that this process may use, `memory` in bytes (0 if unknown)."""

    cpu: str
    cores: int
    memory: int
    system: str
    python: str
    torch: str


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can compute on; `memory` in bytes, 0 where it is the machine's own."""

    name: str
    memory: int


def machine() -> Machine:
    """The facts about this machine, within milliseconds; a container's limits count as the machine's."""
    return Machine(_cpu(), _cores(), _memory(), f"{platform.system()} {platform.release()}",
                   platform.python_version(), _torch())


def gpus() -> list[Gpu]:
    """The GPUs that torch can use. Loads torch, which takes seconds, only where a driver hints at one."""
    if not _driver():
        return []
    import torch

    if torch.backends.mps.is_available():
        return [Gpu("Apple GPU (MPS)", 0)]
    properties = [torch.cuda.get_device_properties(index) for index in range(torch.cuda.device_count())]
    return [Gpu(item.name, item.total_memory) for item in properties]


def _driver() -> bool:
    """Whether this machine may have a GPU: a driver's device file on Linux, a library on Windows, an Apple chip."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        return (Path(os.environ.get("SYSTEMROOT", "C:/Windows")) / "System32" / "nvcuda.dll").exists()
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _torch() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "not installed"


def _cores() -> int:
    with contextlib.suppress(AttributeError):  # not on macOS and Windows
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            return subprocess.check_output(["sysctl", "-n", "machdep.cpu.brand_string"], text=True, timeout=2).strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    """The memory, or less where a container limits it."""
    limits = [_installed()]
    for file in ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"):
        with contextlib.suppress(OSError, ValueError):  # no such limit, or "max"
            limits.append(int(Path(file).read_text(encoding="utf-8")))
    return min((limit for limit in limits if limit), default=0)


def _installed() -> int:
    if sys.platform == "win32":
        return _windows_memory()
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _windows_memory() -> int:
    import ctypes

    kilobytes = ctypes.c_ulonglong(0)
    found = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return kilobytes.value * 1024 if found else 0
