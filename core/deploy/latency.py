"""Measures how long a call takes, for several variants that take turns, and compares them.

The variants alternate in one process (A B A B ...), so that whatever else keeps the machine busy
slows all of them alike. A comparison is made within each round, where the machine was nearly the
same for all, and not between two averages.
"""

import time
from collections.abc import Callable, Generator, Mapping

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel, ConfigDict

from core.events import Progress

MIN_ROUNDS = 20
"""Rounds that are measured however long they take: with fewer, p95 is only the slowest one."""

_WARM_UP = 2  # calls of each variant before the first round, which allocate memory and plan kernels
_RESAMPLES = 2000  # of the bootstrap
_PARTS = 20


class Latency(BaseModel):
    """The time of a call in milliseconds, and how it compares with the first variant.

    median, p25, p75, p95: over all rounds. best: of the fastest call, when nothing else kept the
    machine busy. speedup: how many times as fast as the first variant it
    is, in the median round; below 1 it is slower. low, high: the 95% interval of the speedup.
    """

    model_config = ConfigDict(frozen=True)

    median: float
    best: float
    p25: float
    p75: float
    p95: float
    speedup: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The interquartile range in milliseconds: the middle half of the calls lies in it."""
        return self.p75 - self.p25

    @property
    def is_slower(self) -> bool:
        """Whether it is slower than the first variant by more than chance."""
        return self.high < 1

    @property
    def is_faster(self) -> bool:
        """Whether it is faster than the first variant by more than chance."""
        return self.low > 1


class Latencies(BaseModel):
    """The times of several variants, by name, the first one first.

    rounds: how often each was timed. device: what computed. threads: how many computed one call.
    """

    model_config = ConfigDict(frozen=True)

    variants: dict[str, Latency]
    rounds: int
    device: str
    threads: int


def measure_latency(
    variants: Mapping[str, Callable[[], object]],
    *,
    threads: int,
    device: str = "cpu",
    seconds: float = 5.0,
    min_rounds: int = MIN_ROUNDS,
    seed: int = 0,
    stage: str = "Measuring",
    clock: Callable[[], float] = time.perf_counter,
) -> Generator[Progress, None, Latencies]:
    """Time the variants in turn for about `seconds`, and yield Progress after every round.

    variants: calls by name; the others are compared with the first. A call returns when its work is
    done. threads, device: recorded only, the calls use them by themselves. min_rounds: made even if
    they take longer. seed: of the bootstrap. clock: returns seconds.
    """
    for number, call in enumerate(variants.values()):
        yield Progress(f"{stage}: warming up", number, len(variants), "variants")
        for _ in range(_WARM_UP):
            call()
    times: dict[str, list[float]] = {name: [] for name in variants}
    began = clock()
    elapsed = 0.0
    rounds = 0
    while rounds < min_rounds or elapsed < seconds:
        for name, call in variants.items():
            times[name].append(_time_warm(call, clock))
        rounds += 1
        elapsed = clock() - began
        expected = max(rounds, min_rounds, int(rounds * seconds / max(elapsed, 1e-9)))
        yield Progress(stage, rounds, expected, "rounds")
    latencies = compare_times(times, seed)
    return Latencies(variants=latencies, rounds=rounds, device=device, threads=threads)


def compare_times(times: Mapping[str, ArrayLike], seed: int = 0) -> dict[str, Latency]:
    """Return the figures of each variant from its times in seconds, one for each round.

    The interval is the percentile bootstrap over rounds, in which the pairs of a round stay
    together.
    """
    if not times:
        return {}
    reference = np.asarray(next(iter(times.values())), np.float64)
    return {name: _compare(seconds, reference, seed) for name, seconds in times.items()}


def _compare(seconds: ArrayLike, reference: NDArray[np.float64], seed: int) -> Latency:
    times = np.asarray(seconds, np.float64)
    p25, median, p75, p95 = np.percentile(1000 * times, [25, 50, 75, 95]).tolist()
    ratios = reference / times
    low, high = _median_interval(ratios, seed)
    speedup = float(np.median(ratios))
    return Latency(
        median=median,
        best=1000 * float(times.min()),
        p25=p25,
        p75=p75,
        p95=p95,
        speedup=speedup,
        low=low,
        high=high,
    )


def _median_interval(values: NDArray[np.float64], seed: int) -> tuple[float, float]:
    """Return the 95% interval of the median, by the bootstrap."""
    generator = np.random.default_rng(seed)
    medians = []
    for _ in range(_PARTS):  # in parts, because all resamples of many rounds take much memory
        chosen = generator.integers(len(values), size=(_RESAMPLES // _PARTS, len(values)))
        medians.append(np.median(values[chosen], axis=1))
    low, high = np.percentile(np.concatenate(medians), [2.5, 97.5]).tolist()
    return low, high


def _time_warm(call: Callable[[], object], clock: Callable[[], float]) -> float:
    """Return the seconds of a call right after another one, which finds its data in the caches.

    The untimed call also keeps apart what the variant before left behind, such as its threads that
    come to rest.
    """
    call()
    began = clock()
    call()
    return clock() - began
