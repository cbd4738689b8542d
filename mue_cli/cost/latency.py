"""Measured latency of two programs, taken turn by turn in one process.

A speed-up between two runs minutes apart measures the machine's mood. Here the two programs alternate (a b, b a, a b, ...), so that drift,
throttling and neighbours hit both alike. The number of threads is left as it is.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import TypeVar

Sample = TypeVar("Sample")
Clock = Callable[[], float]


@dataclass(frozen=True)
class Latency:
    """median_ms: over all timings of one run, or over samples of each sample's median. quartiles_ms: of the same values.

    total_ms: sum over samples of each sample's median (the median itself when there is one sample).
    """

    median_ms: float
    quartiles_ms: tuple[float, float]
    total_ms: float


@dataclass(frozen=True)
class LatencyPair:
    """reduction: 1 - a.total_ms / b.total_ms; negative when `a` is slower."""

    a: Latency
    b: Latency
    reduction: float


def interleaved(
    run_a: Callable[[], object],
    run_b: Callable[[], object],
    repeats: int,
    warmup: int = 1,
    synchronize: Callable[[], object] | None = None,
    clock: Clock = time.perf_counter,
) -> LatencyPair:
    """Time two programs `repeats` times each, alternating and swapping who goes first; the reduction is that of the medians.

    warmup: untimed runs of each before. synchronize: waits for the device (torch.cuda.synchronize), before each reading of the clock.
    Raises ValueError for fewer than one repeat.
    """
    times_a, times_b = _alternate(run_a, run_b, repeats, warmup, 0, _stopwatch(synchronize, clock))
    a, b = _latency(times_a, median(times_a)), _latency(times_b, median(times_b))
    return LatencyPair(a, b, 1.0 - a.total_ms / b.total_ms)


def interleaved_samples(
    samples: Sequence[Sample],
    run_a: Callable[[Sample], object],
    run_b: Callable[[Sample], object],
    repeats: int = 3,
    warmup: int = 1,
    synchronize: Callable[[], object] | None = None,
    clock: Clock = time.perf_counter,
    progress: Callable[[int, int], None] | None = None,
) -> LatencyPair:
    """Time two programs on each sample, alternating within the sample; the reduction is that of the sums of per-sample medians.

    The median within a sample discards hiccups; the sum over samples is the time a user waits, where a mean of ratios would let short
    samples speak as loud as long ones. Raises ValueError without samples or for fewer than one repeat.
    """
    if not samples:
        raise ValueError("latency needs at least one sample")
    timed = _stopwatch(synchronize, clock)
    medians_a, medians_b = [], []
    for index, sample in enumerate(samples):
        times = _alternate(_bind(run_a, sample), _bind(run_b, sample), repeats, warmup, index, timed)
        medians_a.append(median(times[0]))
        medians_b.append(median(times[1]))
        if progress is not None:
            progress(index + 1, len(samples))
    a, b = _latency(medians_a, sum(medians_a)), _latency(medians_b, sum(medians_b))
    return LatencyPair(a, b, 1.0 - a.total_ms / b.total_ms)


def _alternate(
    run_a: Callable[[], object],
    run_b: Callable[[], object],
    repeats: int,
    warmup: int,
    first: int,
    timed: Callable[[Callable[[], object]], float],
) -> tuple[list[float], list[float]]:
    """Return both programs' times in milliseconds; `a` goes first in rounds of even number, counted from `first`."""
    if repeats < 1:
        raise ValueError(f"latency needs at least one repeat, not {repeats}")
    for _ in range(warmup):
        run_a()
        run_b()
    times_a, times_b = [], []
    for turn in range(first, first + repeats):
        if turn % 2 == 0:
            times_a.append(timed(run_a))
            times_b.append(timed(run_b))
        else:
            times_b.append(timed(run_b))
            times_a.append(timed(run_a))
    return times_a, times_b


def _stopwatch(synchronize: Callable[[], object] | None, clock: Clock) -> Callable[[Callable[[], object]], float]:
    def read() -> float:
        if synchronize is not None:
            synchronize()
        return clock()

    def timed(run: Callable[[], object]) -> float:
        start = read()
        run()
        return (read() - start) * 1000.0

    return timed


def _bind(run: Callable[[Sample], object], sample: Sample) -> Callable[[], object]:
    return lambda: run(sample)


def _latency(times: list[float], total: float) -> Latency:
    lower, middle, upper = quantiles(times, n=4, method="inclusive") if len(times) > 1 else times * 3
    return Latency(middle, (lower, upper), total)
