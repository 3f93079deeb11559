"""What SNIP scoring costs, beside one forward and backward pass (time) and one training step (peak memory).

    python -m benchmarks.snip            # --quick: small batches and few repeats, to see that it runs

Times alternate in one process, and the median of the ratios of neighbours counts. Peak memory is the largest resident
set of a process that does one of the two and nothing else; on CUDA torch's own counter.
"""

import argparse
import multiprocessing
import statistics
import time
from pathlib import Path

import psutil
import torch
from torch.nn.functional import cross_entropy

from benchmarks import report
from core import models
from core.compress.snip import scores
from core.models.parameters import prunable
from core.training.device import prepare_process, resolve

NETWORKS = ("ResNet20", "VGG16", "ResNet50")


def _begin(name: str, batch: int):
    device = resolve("auto")
    torch.manual_seed(0)
    model = models.build(name, 10).to(device, memory_format=torch.channels_last).train()
    images = torch.randn(batch, 3, 32, 32, device=device).contiguous(memory_format=torch.channels_last)
    return model, images, torch.randint(10, (batch,), device=device)


def _forward_backward(model, images, labels) -> None:
    model.zero_grad(set_to_none=True)
    cross_entropy(model(images), labels).backward()


def times(name: str, batch: int, repeats: int) -> tuple[float, float]:
    """Median seconds of a forward and backward pass, and the median ratio of a scoring to it."""
    model, images, labels = _begin(name, batch)
    wait = torch.cuda.synchronize if images.is_cuda else lambda: None
    plain, ratios = [], []
    for repeat in range(repeats + 1):
        spans = []
        for work in (_forward_backward, scores):
            began = time.perf_counter()
            work(model, images, labels)
            wait()
            spans.append(time.perf_counter() - began)
        if repeat:
            plain.append(spans[0])
            ratios.append(spans[1] / spans[0])
    return statistics.median(plain), statistics.median(ratios)


def _peak(name: str, batch: int, what: str, answer) -> None:
    prepare_process()
    model, images, labels = _begin(name, batch)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    for repeat in range(2):  # the first round brings the libraries' own memory
        if repeat == 1 and images.is_cuda:
            torch.cuda.reset_peak_memory_stats()
        if what == "step":
            _forward_backward(model, images, labels)
            optimizer.step()
        else:
            scores(model, images, labels)
    answer.put(torch.cuda.max_memory_allocated() if images.is_cuda else _peak_resident())


def _peak_resident() -> int:
    """Bytes. Linux also counts what the parent held when it started the process, but not in VmHWM."""
    status = Path("/proc/self/status")
    if status.exists():
        return next(int(line.split()[1]) for line in status.read_text().splitlines() if "VmHWM" in line) * 1024
    if psutil.WINDOWS:
        return psutil.Process().memory_info().peak_wset
    import resource
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if psutil.MACOS else 1024)


def peak(name: str, batch: int, what: str) -> int:
    """Peak bytes of a process that does `what`, "step" or "scores": the median of three, as allocators differ by some
    megabytes from one process to the next."""
    context, values = multiprocessing.get_context("spawn"), []
    for _ in range(3):
        answer = context.Queue()
        process = context.Process(target=_peak, args=(name, batch, what, answer))
        process.start()
        values.append(answer.get())
        process.join()
    return int(statistics.median(values))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--networks", nargs="+", default=NETWORKS)
    parser.add_argument("--quick", action="store_true")
    options = parser.parse_args()
    if options.quick:
        options.batch, options.repeats = 8, 2
    rows = []
    for name in options.networks:
        seconds, ratio = times(name, options.batch, options.repeats)
        step, scoring = (peak(name, options.batch, what) for what in ("step", "scores"))
        weights = 4 * sum(weight.numel() for weight in prunable(models.build(name, 10)).values())
        rows.append({"network": name, "batch": options.batch, "forward and backward s": round(seconds, 3),
                     "scoring / that": round(ratio, 2), "step peak MB": round(step / 1e6),
                     "scoring peak MB": round(scoring / 1e6), "weights MB": round(weights / 1e6, 1),
                     "within step + weights": scoring <= step + weights})
    notes = [] if torch.cuda.is_available() else ["No GPU here: measured on the CPU only."]
    report.write("snip", rows, notes=notes)


if __name__ == "__main__":
    main()
