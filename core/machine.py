"""Facts about this machine, which tell a person how fast a training can be."""

import contextlib
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

LIMIT_FILES = ("/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes")
"""The files of Linux that contain the limit of a container's memory, in bytes."""


@dataclass(frozen=True)
class Machine:
    """The facts that are available without loading torch.

    cores: number of processor cores that this process may use. memory: bytes, 0 if unknown.
    torch: version of torch, or "not installed".
    """

    cpu: str
    cores: int
    memory: int
    system: str
    python: str
    torch: str


@dataclass(frozen=True)
class Gpu:
    """A GPU that torch can use. memory: bytes, 0 if it shares the memory of the machine."""

    name: str
    memory: int


def host_name() -> str:
    """Return the name of this machine, by which others on a shared folder know it.

    SECATEUR_HOST can give another one, where several machines have the same name.
    """
    return os.environ.get("SECATEUR_HOST") or platform.node()


def describe_machine() -> Machine:
    """Collect the facts within milliseconds. In a container its limits count."""
    return Machine(
        cpu=_cpu(),
        cores=_cores(),
        memory=_memory(),
        system=f"{platform.system()} {platform.release()}",
        python=platform.python_version(),
        torch=_torch_version(),
    )


def find_gpus() -> list[Gpu]:
    """List the GPUs that torch can use.

    Torch is loaded, which takes seconds, only if the machine has a driver for a GPU.
    """
    if not _has_gpu_driver():
        return []
    import torch

    if torch.backends.mps.is_available():
        return [Gpu("Apple GPU (MPS)", 0)]
    gpus = []
    for index in range(torch.cuda.device_count()):
        properties = torch.cuda.get_device_properties(index)
        gpus.append(Gpu(properties.name, properties.total_memory))
    return gpus


def physical_cores() -> int:
    """Return the number of processor cores that this process may use, without hyper-threads."""
    import psutil

    physical = psutil.cpu_count(logical=False) or 1
    return min(physical, _cores())


def _has_gpu_driver() -> bool:
    """Whether there may be a GPU: an Apple chip, a library on Windows, a device file on Linux."""
    if sys.platform == "darwin":
        return platform.machine() == "arm64"
    if sys.platform == "win32":
        windows = Path(os.environ.get("SYSTEMROOT", "C:/Windows"))
        return (windows / "System32" / "nvcuda.dll").exists()
    return any(Path(device).exists() for device in ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg"))


def _torch_version() -> str:
    try:
        return metadata.version("torch")
    except metadata.PackageNotFoundError:
        return "not installed"


def _cores() -> int:
    # macOS and Windows do not have this function.
    with contextlib.suppress(AttributeError):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _cpu() -> str:
    """The name of the processor."""
    with contextlib.suppress(OSError, subprocess.SubprocessError):
        if sys.platform == "darwin":
            command = ["sysctl", "-n", "machdep.cpu.brand_string"]
            return subprocess.check_output(command, text=True, timeout=2).strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _memory() -> int:
    """The bytes of memory that are installed, or the limit of a container if that is less."""
    limits = [_installed_memory()]
    for file in LIMIT_FILES:
        # The file is missing, or contains "max", if there is no limit.
        with contextlib.suppress(OSError, ValueError):
            limits.append(int(Path(file).read_text(encoding="utf-8")))
    return min((limit for limit in limits if limit), default=0)


def _installed_memory() -> int:
    if sys.platform == "win32":
        return _windows_memory()
    with contextlib.suppress(OSError, ValueError):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return 0


def _windows_memory() -> int:
    if sys.platform != "win32":
        return 0
    import ctypes

    kilobytes = ctypes.c_ulonglong(0)
    succeeded = ctypes.windll.kernel32.GetPhysicallyInstalledSystemMemory(ctypes.byref(kilobytes))
    return kilobytes.value * 1024 if succeeded else 0
