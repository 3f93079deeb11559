"""The times of variants that take turns, with a clock that the variants themselves move on."""

import numpy as np
import pytest

from core.deploy.latency import Latency, compare_times, measure_latency
from core.events import Progress, result_of


class Clock:
    """Seconds that pass only while a call runs."""

    def __init__(self):
        self.now = 0.0
        self.calls = []

    def __call__(self):
        return self.now

    def call(self, name, seconds):
        def run():
            self.calls.append(name)
            self.now += seconds

        return run


def measured(clock, seconds=1.0, min_rounds=3, **durations):
    variants = {name: clock.call(name, duration) for name, duration in durations.items()}
    return measure_latency(variants, threads=2, seconds=seconds, min_rounds=min_rounds, clock=clock)


def test_quantiles_by_hand():
    times = [0.001 * value for value in (1, 2, 3, 4, 5)]
    latency = compare_times({"a": times})["a"]
    assert latency.median == pytest.approx(3)
    assert (latency.p25, latency.p75) == pytest.approx((2, 4))
    assert latency.spread == pytest.approx(2)
    assert latency.p95 == pytest.approx(4.8)
    assert latency.best == pytest.approx(1)
    assert (latency.speedup, latency.low, latency.high) == (1, 1, 1)


def test_a_comparison_is_made_within_each_round():
    # The machine is ten times slower in every second round, and both feel it. Only the medians of
    # all rounds would not tell which is faster: 1 and 10 fall into one half or the other.
    noise = np.tile([1.0, 10.0], 50)
    latency = compare_times({"first": 0.02 * noise, "second": 0.01 * noise})["second"]
    assert (latency.speedup, latency.low, latency.high) == pytest.approx((2, 2, 2))
    assert latency.is_faster
    assert not latency.is_slower


def test_the_interval_covers_the_true_ratio_and_is_narrower_with_more_rounds():
    generator = np.random.default_rng(1)

    def interval(rounds):
        first = 0.020 * generator.lognormal(0, 0.1, rounds)
        second = 0.015 * generator.lognormal(0, 0.1, rounds)
        return compare_times({"first": first, "second": second})["second"]

    few = interval(25)
    many = interval(2500)
    assert few.low < 4 / 3 < few.high
    assert many.low < 4 / 3 < many.high
    assert many.high - many.low < (few.high - few.low) / 3


def test_the_interval_holds_the_median_in_95_of_100_cases():
    generator = np.random.default_rng(0)
    hits = 0
    for _ in range(60):
        second = 0.01 * generator.lognormal(0, 0.3, 40)
        latency = compare_times({"first": np.full(40, 0.01), "second": second})["second"]
        hits += latency.low <= 1 <= latency.high
    assert hits >= 52  # of 60; fewer have a probability below 1% at 95%


def test_the_same_seed_gives_the_same_interval():
    times = {"a": [0.1, 0.2, 0.15], "b": [0.1, 0.1, 0.3]}
    assert compare_times(times, seed=1) == compare_times(times, seed=1)


def test_slower_and_faster_need_the_whole_interval():
    def latency(low, high):
        return Latency(
            median=1, best=1, p25=1, p75=1, p95=1, speedup=(low + high) / 2, low=low, high=high
        )

    assert latency(0.5, 0.9).is_slower
    assert latency(1.1, 2.0).is_faster
    both = latency(0.9, 1.1)
    assert not both.is_slower
    assert not both.is_faster


def test_variants_alternate_and_each_timed_call_follows_an_untimed_one():
    clock = Clock()
    result_of(measured(clock, seconds=0, min_rounds=2, a=0.25, b=0.5))
    warm_up = ["a", "a", "b", "b"]
    assert clock.calls == [*warm_up, *["a", "a", "b", "b"] * 2]


def test_only_the_second_call_of_a_turn_counts():
    clock = Clock()
    durations = iter([9.0, 9.0, 5.0, 1.0, 7.0, 1.0])

    def call():
        clock.now += next(durations)

    latencies = result_of(
        measure_latency({"a": call}, threads=1, seconds=0, min_rounds=2, clock=clock)
    )
    assert latencies.variants["a"].median == 1000


def test_rounds_fill_the_time_but_are_never_too_few():
    # A round has two calls of each variant: 2 x (0.25 + 0.5) = 1.5 seconds.
    latencies = result_of(measured(Clock(), seconds=6.0, min_rounds=3, a=0.25, b=0.5))
    assert latencies.rounds == 4
    assert latencies.variants["a"].median == pytest.approx(250)
    assert latencies.variants["b"].median == pytest.approx(500)
    assert latencies.variants["b"].speedup == pytest.approx(0.5)
    assert (latencies.threads, latencies.device) == (2, "cpu")
    assert result_of(measured(Clock(), seconds=0.1, min_rounds=3, a=1.0)).rounds == 3


def test_progress_counts_rounds_up_to_the_expected_number():
    events = list(measured(Clock(), seconds=6.0, min_rounds=3, a=0.25, b=0.5))
    assert all(isinstance(event, Progress) for event in events)
    rounds = [(event.done, event.total) for event in events if event.unit == "rounds"]
    assert rounds == [(1, 4), (2, 4), (3, 4), (4, 4)]


def test_nothing_to_compare():
    assert compare_times({}) == {}
