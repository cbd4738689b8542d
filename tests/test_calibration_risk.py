"""Risk tests against closed forms and hand-worked numbers, and by simulation with a planted truth."""

import math
from collections.abc import Callable

import numpy as np
import pytest

from mue_cli.calibration.risk import (
    PValue,
    betting_p_value,
    fixed_sequence,
    hoeffding_bentkus_p_value,
    samples_needed,
    upper_bound,
)

TESTS = [betting_p_value, hoeffding_bentkus_p_value]


def test_hoeffding_bentkus_without_losses_is_the_chance_of_none() -> None:
    """Hoeffding: exp(-n kl(0, D)) = (1 - D)^n, below e times the same binomial tail."""
    assert hoeffding_bentkus_p_value(np.zeros(100), 0.05) == pytest.approx(0.95**100)


def test_hoeffding_bentkus_by_hand() -> None:
    """One loss of four, D = 1/2: kl(1/4, 1/2) = 1/4 ln(1/2) + 3/4 ln(3/2) = 0.130812, so Hoeffding
    gives exp(-0.523248) = 0.592593 = 16/27; Bentkus gives e (1 + 4) / 16 = 0.849.
    """
    assert hoeffding_bentkus_p_value([0, 0, 1, 0], 0.5) == pytest.approx(16 / 27)


def test_bentkus_is_the_smaller_near_the_level() -> None:
    """40 losses of 100, D = 1/2: Bentkus e * 0.028444 = 0.077319 (binomial table), Hoeffding
    0.133514.
    """
    losses = np.repeat([1.0, 0.0], [40, 60])
    tail = sum(math.comb(100, k) for k in range(41)) / 2.0**100
    assert tail == pytest.approx(0.028444, abs=1e-6)
    assert hoeffding_bentkus_p_value(losses, 0.5) == pytest.approx(math.e * tail)
    hoeffding = math.exp(-100 * (0.4 * math.log(0.8) + 0.6 * math.log(1.2)))
    assert math.e * tail < hoeffding == pytest.approx(0.133514, abs=1e-6)


def test_plug_in_bets_by_hand() -> None:
    """Losses 0 and 1 at confidence 0.95: sqrt(2 ln 20 / (2 * 1/4)) is above 1, so the first bet is
    1. Mean then (1/2 + 0) / 2 = 1/4, variance (1/4 + 1/16) / 2 = 5/32; the second bet is 1 too.
    With D = 0.2 the plug-in's capital is 1.2 and 1.2 * 0.2. Constant bets b win 1 + 0.2 b, on
    average 1.11: the largest capital is (1.2 + 1.11) / 2, after the first loss.
    """
    assert betting_p_value([0.0, 1.0], 0.2, 0.95) == pytest.approx(1 / 1.155)


def test_small_plug_in_bet_by_hand() -> None:
    """A hundred samples: the first bet is sqrt(2 ln 20 / 25) = 0.489549; one zero and 99 losses of
    1 leave the first sample's capital as the largest: (1 + 0.1 * 0.489549 + 1.055) / 2.
    """
    losses = np.r_[0.0, np.ones(99)]
    assert betting_p_value(losses, 0.1, 0.95) == pytest.approx(2 / (1.0489549 + 1.055))


@pytest.mark.parametrize("p_value", TESTS)
def test_losses_at_or_above_the_level_prove_nothing(p_value: PValue) -> None:
    assert p_value(np.full(50, 0.3), 0.3, 0.95) == pytest.approx(1.0)
    assert p_value(np.ones(50), 0.3, 0.95) == 1.0


@pytest.mark.parametrize("p_value", TESTS)
def test_upper_bound_is_where_the_test_turns(p_value: PValue) -> None:
    losses = np.repeat([0.0, 0.5, 1.0], [150, 30, 20])
    np.random.default_rng(0).shuffle(losses)
    bound = upper_bound(losses, 0.95, p_value)
    assert losses.mean() < bound < 0.3
    assert p_value(losses, bound + 1e-9, 0.95) <= 0.05 < p_value(losses, bound - 1e-9, 0.95)


def test_upper_bound_without_losses_is_the_rule_of_three() -> None:
    """(1 - D)^n = 0.05: D = 1 - 0.05^(1/n), about 3 / n."""
    bound = upper_bound(np.zeros(300), 0.95, hoeffding_bentkus_p_value)
    assert bound == pytest.approx(1 - 0.05 ** (1 / 300))


def test_betting_is_sharper_for_small_losses() -> None:
    losses = np.tile([0.0, 0.1, 0.0, 0.05], 100)
    sharp, conservative = (upper_bound(losses, 0.95, p_value) for p_value in TESTS)
    assert losses.mean() < sharp < 0.8 * conservative


def test_samples_needed_without_losses_is_the_closed_form() -> None:
    assert samples_needed(0.0, 0.02, 0.95) == math.ceil(math.log(0.05) / math.log(0.98)) == 149


def test_samples_needed_grow_towards_the_level_where_none_are_enough() -> None:
    numbers = [samples_needed(mean, 0.05, 0.9) for mean in (0.0, 0.02, 0.04)]
    assert None not in numbers
    assert numbers == sorted(numbers, key=lambda number: number or 0)
    assert samples_needed(0.05, 0.05, 0.9) is None


def test_last_setting_that_passed_is_kept_not_the_first_that_failed() -> None:
    path = [np.zeros(200), np.zeros(200), np.ones(200), np.zeros(200)]
    result = fixed_sequence(path, 0.1, 0.95)
    assert result.num_passed == 2
    assert len(result.p_values) == 3


def test_nothing_behind_the_first_failure_is_asked_for() -> None:
    asked = []

    def path() -> object:
        for number in range(5):
            asked.append(number)
            yield np.full(50, float(number > 1))

    assert fixed_sequence(path(), 0.2, 0.9).num_passed == 2
    assert asked == [0, 1, 2]


@pytest.mark.parametrize("losses", [[], [0.5, 1.5], [-0.1], [math.nan]])
def test_losses_outside_the_unit_interval_are_refused(losses: list[float]) -> None:
    with pytest.raises(ValueError, match=r"sample|lie in"):
        betting_p_value(losses, 0.1, 0.9)


Draw = Callable[[np.random.Generator, float, int], np.ndarray]


def wrong_answers(random: np.random.Generator, risk: float, size: int) -> np.ndarray:
    return (random.random(size) < risk).astype(float)


def score_drops(random: np.random.Generator, risk: float, size: int) -> np.ndarray:
    """Many small drops and a few large ones, of mean `risk`."""
    return random.beta(0.3, 0.3 * (1 - risk) / risk, size)


@pytest.mark.parametrize("p_value", TESTS)
@pytest.mark.parametrize("max_risk", [0.05, 0.1])
@pytest.mark.parametrize("draw", [wrong_answers, score_drops])
def test_promise_holds_in_600_resamples_and_is_not_empty(
    draw: Draw, max_risk: float, p_value: PValue
) -> None:
    """Planted risks along a path, saving 0.1 more each; the fourth setting's is just above D, where
    a wrong grant is likeliest.
    """
    confidence, trials = 0.9, 600
    risks = max_risk * np.array([0.1, 0.3, 0.5, 1.0001, 1.3])
    random = np.random.default_rng(0)
    passed = np.array([
        fixed_sequence(
            (draw(random, risk, 300) for risk in risks), max_risk, confidence, p_value
        ).num_passed
        for _ in range(trials)
    ])  # fmt: skip
    violations = (passed > 3).mean()
    error = math.sqrt(confidence * (1 - confidence) / trials)
    assert violations <= 1 - confidence + 2 * error
    assert passed.mean() >= 0.7 * 3
