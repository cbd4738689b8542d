from collections.abc import Callable

import pytest

from mue_cli.cost.latency import LatencyPair, interleaved_samples

Program = Callable[[], object]


class Clock:
    """A clock that stands still until a program spends time."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def program(clock: Clock, name: str, seconds: list[float], calls: list[str]) -> Callable[[], None]:
    """Spend the given seconds call after call, and remember who was called."""
    durations = iter(seconds)

    def run() -> None:
        clock.now += next(durations)
        calls.append(name)

    return run


def interleaved(run_a: Program, run_b: Program, repeats: int, **more: object) -> LatencyPair:
    """Time two programs on one sample that neither looks at."""
    return interleaved_samples(
        [None],
        lambda _: run_a(),
        lambda _: run_b(),
        repeats,
        **more,  # type: ignore[arg-type]
    )


def test_medians_quartiles_and_reduction_by_hand() -> None:
    clock = Clock()
    calls: list[str] = []
    a = program(clock, "a", [9.0, 0.001, 0.002, 0.003, 0.004, 0.100], calls)
    b = program(clock, "b", [9.0, 0.006, 0.006, 0.006, 0.006, 0.006], calls)
    pair = interleaved(a, b, repeats=5, clock=clock)
    assert pair.a.median_ms == pytest.approx(3.0)
    assert pair.a.quartiles_ms == pytest.approx((2.0, 4.0))
    assert pair.b.median_ms == pytest.approx(6.0)
    assert pair.reduction == pytest.approx(0.5)
    assert pair.turns == pytest.approx(
        (1 - 4 / 6, 0.5, 1 - 2 / 6)
    )  # turns: 1/6, 2/6, 3/6, 4/6 and 100/6 of b's time


def test_programs_take_turns_and_swap_who_goes_first_after_a_warm_up() -> None:
    clock = Clock()
    calls: list[str] = []
    interleaved(
        program(clock, "a", [1.0] * 5, calls),
        program(clock, "b", [1.0] * 5, calls),
        repeats=3,
        warmup=2,
        clock=clock,
    )
    assert "".join(calls) == "abab" + "ab" + "ba" + "ab"


def test_a_slow_drift_cancels() -> None:
    clock, speed = Clock(), [1.0]

    def run() -> None:
        clock.now += speed[0]
        speed[0] += 0.01

    pair = interleaved(run, run, repeats=20, clock=clock)
    assert abs(pair.reduction) < 0.01 / 1.2


def test_the_device_is_waited_for_before_every_reading_of_the_clock() -> None:
    clock = Clock()
    log: list[str] = []

    def reading() -> float:
        log.append("read")
        return clock()

    interleaved(
        lambda: log.append("run"),
        lambda: log.append("run"),
        1,
        warmup=0,
        synchronize=lambda: log.append("wait"),
        clock=_moving(reading),
    )
    assert log == ["wait", "read", "run", "wait", "read"] * 2


def _moving(clock: Callable[[], float]) -> Callable[[], float]:
    ticks = iter(range(100))
    return lambda: clock() + next(ticks)


def test_over_samples_a_hiccup_is_dropped_and_long_samples_weigh_more() -> None:
    # sample 10 ms: a takes 5, 5 and once 500 (a hiccup), b 10. sample 90 ms: a takes 45, b 90. Sums
    # of medians: 50 against 100.
    clock = Clock()
    hiccup = iter([0.0, 0.0, 0.495, 0.0] + [0.0] * 4)

    def a(sample: float) -> None:
        clock.now += sample / 2 + next(hiccup)

    def b(sample: float) -> None:
        clock.now += sample

    seen: list[tuple[int, int]] = []
    pair = interleaved_samples(
        [0.010, 0.090],
        a,
        b,
        repeats=3,
        clock=clock,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert pair.a.total_ms == pytest.approx(50.0)
    assert pair.b.total_ms == pytest.approx(100.0)
    assert pair.reduction == pytest.approx(0.5)
    assert pair.b.median_ms == pytest.approx(50.0)
    assert seen == [(1, 2), (2, 2)]
    assert pair.turns == pytest.approx((0.5, 0.5, 0.5))
    assert pair.b.quartiles_ms == pytest.approx((10.0, 90.0))


def test_over_samples_the_first_turn_alternates_from_sample_to_sample() -> None:
    clock = Clock()
    calls: list[str] = []

    def named(name: str) -> Callable[[int], None]:
        def run(sample: int) -> None:
            clock.now += 1.0
            calls.append(f"{name}{sample}")

        return run

    interleaved_samples([0, 1], named("a"), named("b"), repeats=1, warmup=0, clock=clock)
    assert calls == ["a0", "b0", "b1", "a1"]


def test_a_slower_program_has_a_negative_reduction() -> None:
    clock = Clock()
    pair = interleaved(
        program(clock, "a", [3.0] * 2, []),
        program(clock, "b", [2.0] * 2, []),
        repeats=1,
        clock=clock,
    )
    assert pair.reduction == pytest.approx(-0.5)
    assert pair.a.quartiles_ms == pytest.approx((3000.0, 3000.0))


def test_nothing_to_time_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one repeat"):
        interleaved(lambda: None, lambda: None, repeats=0)
    with pytest.raises(ValueError, match="at least one sample"):
        interleaved_samples([], lambda s: None, lambda s: None)
