"""Measured latency of two programs, taken turn by turn in one process.

A speed-up between two runs minutes apart measures the machine's mood. Here the two programs
alternate (a b, b a, a b, ...), so that drift, throttling and neighbours hit both alike. The number
of threads is left as it is.
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
    """median_ms, quartiles_ms: over all timings.

    total_ms: sum over samples of each sample's median (the median itself when there is one sample).
    """

    median_ms: float
    quartiles_ms: tuple[float, float]
    total_ms: float


@dataclass(frozen=True)
class LatencyPair:
    """reduction: 1 - a.total_ms / b.total_ms; negative when `a` is slower.

    turns: lower quartile, median and upper quartile of the reduction within each turn, both
    programs moments apart. On a busy machine the median is steadier than `reduction`; over samples
    of different length it is another quantity.
    """

    a: Latency
    b: Latency
    reduction: float
    turns: tuple[float, float, float]


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
    """Time two programs on each sample, alternating within the sample; the reduction is that of the
    sums of per-sample medians.

    The median within a sample discards hiccups; the sum over samples is the time a user waits,
    where a mean of ratios would let short samples speak as loud as long ones. Raises ValueError
    without samples or for fewer than one repeat.
    """
    if not samples:
        raise ValueError("latency needs at least one sample")
    timed = _stopwatch(synchronize, clock)
    times = []
    for index, sample in enumerate(samples):
        times.append(
            _alternate(_bind(run_a, sample), _bind(run_b, sample), repeats, warmup, index, timed)
        )
        if progress is not None:
            progress(index + 1, len(samples))
    return _pair(times)


def _alternate(
    run_a: Callable[[], object],
    run_b: Callable[[], object],
    repeats: int,
    warmup: int,
    first: int,
    timed: Callable[[Callable[[], object]], float],
) -> tuple[list[float], list[float]]:
    """Return both programs' times in milliseconds; `a` goes first in rounds of even number, counted
    from `first`.
    """
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


def _stopwatch(
    synchronize: Callable[[], object] | None, clock: Clock
) -> Callable[[Callable[[], object]], float]:
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


def _pair(times: Sequence[tuple[list[float], list[float]]]) -> LatencyPair:
    """times: per sample, those of `a` and of `b`, turn by turn."""
    a, b = (_latency([each[program] for each in times]) for program in (0, 1))
    turns = _quartiles(
        [1.0 - one / other for each in times for one, other in zip(*each, strict=True)]
    )
    return LatencyPair(a, b, 1.0 - a.total_ms / b.total_ms, turns)


def _latency(times: Sequence[list[float]]) -> Latency:
    """times: per sample."""
    lower, middle, upper = _quartiles([time for each in times for time in each])
    return Latency(middle, (lower, upper), sum(map(median, times)))


def _quartiles(values: list[float]) -> tuple[float, float, float]:
    lower, middle, upper = (
        quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    )
    return lower, middle, upper
