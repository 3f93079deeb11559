"""Measures the cost of SNIP scoring: its time, and its peak memory.

    # --quick: small batches and few repeats, to see that it runs
    python -m benchmarks.snip

The time is compared with one forward and backward pass. The two alternate in one process, and the
result is the median of the ratios of neighbours. Likewise, scoring and choosing the masks is
compared with the usual implementation of SNIP. The memory is compared with one training step.
Peak memory is the largest resident set of a process that does one of the two and nothing else; on
CUDA it is torch's own counter.
"""

import argparse
import copy
import multiprocessing
import statistics
import time
from collections.abc import Callable
from multiprocessing.queues import Queue
from pathlib import Path
from typing import Any, Literal

import psutil
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.functional import cross_entropy

from benchmarks.report import Row, write_report
from core import models
from core.compress.masks import Masks, keep_top
from core.compress.snip import scores
from core.models.parameters import prunable_weights
from core.training.device import choose_device, prepare_process

NETWORKS = ("ResNet20", "VGG16", "ResNet34", "ResNet50")
DENSITY = 0.05

Work = Literal["step", "scores"]


def _network_and_batch(name: str, batch: int) -> tuple[nn.Module, Tensor, Tensor]:
    """Return a network in training mode, and random images and labels."""
    device = choose_device("auto")
    torch.manual_seed(0)
    model = models.build(name, 10).to(device).to(memory_format=torch.channels_last).train()
    images = torch.randn(batch, 3, 32, 32, device=device)
    images = images.contiguous(memory_format=torch.channels_last)
    labels = torch.randint(10, (batch,), device=device)
    return model, images, labels


def _forward_backward(model: nn.Module, images: Tensor, labels: Tensor) -> None:
    model.zero_grad(set_to_none=True)
    cross_entropy(model(images), labels).backward()


def plain_masks(model: nn.Module, images: Tensor, labels: Tensor) -> list[Tensor]:
    """Choose masks as the usual implementation does, such as github.com/mil-ad/snip.

    The weights of a copy are multiplied by masks of ones, the masks' gradients are sorted as one
    vector, and a threshold is compared with. The copy's weights are not drawn anew.
    """
    copied = copy.deepcopy(model)
    weights = prunable_weights(copied)
    ones = {name: torch.ones_like(weight, requires_grad=True) for name, weight in weights.items()}
    masked = {name: weight.detach() * ones[name] for name, weight in weights.items()}
    loss = cross_entropy(functional_call(copied, masked, (images,)), labels)
    gradients = [gradient.abs() for gradient in torch.autograd.grad(loss, list(ones.values()))]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    flat.div_(flat.sum())
    total = sum(gradient.sum() for gradient in gradients)
    threshold = torch.topk(flat, int(len(flat) * DENSITY), sorted=True).values[-1]
    return [(gradient / total >= threshold).float() for gradient in gradients]


def our_masks(model: nn.Module, images: Tensor, labels: Tensor) -> Masks:
    """Choose masks as the app does, in training mode, as the usual implementation."""
    return keep_top(scores(model, images, labels, "train"), DENSITY)


def compare_masks(name: str, batch: int, repeats: int) -> float:
    """Return how many times as fast as the usual implementation our masks are, the median."""
    model, images, labels = _network_and_batch(name, batch)
    ratios: list[float] = []
    for repeat in range(repeats + 1):
        plain_seconds = _timed(plain_masks, model, images, labels)
        our_seconds = _timed(our_masks, model, images, labels)
        if repeat:  # the first round warms up
            ratios.append(plain_seconds / our_seconds)
    return statistics.median(ratios)


def compare_times(name: str, batch: int, repeats: int) -> tuple[float, float]:
    """Return the median time of a forward and backward pass, and the median ratio of a scoring."""
    model, images, labels = _network_and_batch(name, batch)
    passes: list[float] = []
    ratios: list[float] = []
    for repeat in range(repeats + 1):
        pass_seconds = _timed(_forward_backward, model, images, labels)
        score_seconds = _timed(scores, model, images, labels)
        if repeat:  # the first round warms up
            passes.append(pass_seconds)
            ratios.append(score_seconds / pass_seconds)
    return statistics.median(passes), statistics.median(ratios)


def _timed(work: Callable[..., Any], model: nn.Module, images: Tensor, labels: Tensor) -> float:
    began = time.perf_counter()
    work(model, images, labels)
    if images.is_cuda:
        torch.cuda.synchronize()
    return time.perf_counter() - began


def _work_and_report(name: str, batch: int, work: Work, answer: "Queue[int]") -> None:
    """Do the work twice in this process, and put the peak memory in bytes into the queue."""
    prepare_process()
    model, images, labels = _network_and_batch(name, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for repeat in range(2):  # the first round includes the libraries' own memory
        if repeat == 1 and images.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        if work == "step":
            _forward_backward(model, images, labels)
            optimizer.step()
        else:
            scores(model, images, labels)
    answer.put(torch.cuda.max_memory_allocated() if images.is_cuda else _peak_resident())


def _peak_resident() -> int:
    """Return the peak resident set of this process, in bytes."""
    status = Path("/proc/self/status")
    if (
        status.exists()
    ):  # Linux's ru_maxrss also counts what the parent process held, VmHWM does not
        for line in status.read_text().splitlines():
            if "VmHWM" in line:
                return int(line.split()[1]) * 1024
    if psutil.WINDOWS:
        memory = psutil.Process().memory_info()
        return int(memory.peak_wset)  # type: ignore[attr-defined]  # psutil has it on Windows only
    import resource

    unit = 1 if psutil.MACOS else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_memory(name: str, batch: int, work: Work) -> int:
    """Return the peak memory, in bytes, of a process that does the work.

    It is the median of three processes, because allocators differ by some megabytes.
    """
    context = multiprocessing.get_context("spawn")
    peaks = []
    for _ in range(3):
        answer: Queue[int] = context.Queue()
        process = context.Process(target=_work_and_report, args=(name, batch, work, answer))
        process.start()
        peaks.append(answer.get())
        process.join()
    return int(statistics.median(peaks))


def measure_scoring(name: str, batch: int, repeats: int) -> Row:
    """Return a row of the table."""
    seconds, ratio = compare_times(name, batch, repeats)
    speed = compare_masks(name, batch, repeats)
    step_peak = peak_memory(name, batch, "step")
    scoring_peak = peak_memory(name, batch, "scores")
    weights = prunable_weights(models.build(name, 10)).values()
    weight_bytes = 4 * sum(weight.numel() for weight in weights)
    return {
        "network": name,
        "batch": batch,
        "forward and backward s": round(seconds, 3),
        "scoring / that": round(ratio, 2),
        "masks, times as fast": round(speed, 2),
        "step peak MB": round(step_peak / 1e6),
        "scoring peak MB": round(scoring_peak / 1e6),
        "weights MB": round(weight_bytes / 1e6, 1),
        "within step + weights": scoring_peak <= step_peak + weight_bytes,
    }


def main() -> None:
    """Print the table and write results/snip.json."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.batch = 8
        options.repeats = 2
    rows = [measure_scoring(name, options.batch, options.repeats) for name in options.networks]
    notes = [] if torch.cuda.is_available() else ["No GPU here: measured on the CPU only."]
    write_report("snip", rows, notes)


if __name__ == "__main__":
    main()
