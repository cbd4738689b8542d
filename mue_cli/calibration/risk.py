"""Risk: p-values of "the expected loss is above D", upper bounds, and tests along a fixed path.

Losses lie in [0, 1], one for each independent sample. Two tests:

- betting (Waudby-Smith and Ramdas, 2024): a gambler who bets that losses stay below D cannot expect
  to win if they do not, so capital above 1 / p has probability at most p (Ville). Half of the
  capital follows their predictable plug-in bets (as in Bates et al., 2021), half is spread evenly
  over constant bets: a mixture of martingales is one, and rare losses are better met by the latter.
- Hoeffding-Bentkus (Bates et al., 2021): from the mean loss alone; conservative.

Letters: n samples.
"""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array

PValue = Callable[[ArrayLike, float, float], float]
"""p-value of losses (n,), of a largest expected loss D, and of the confidence that is aimed at."""

CONSTANT_BETS = np.arange(1, 11) / 10.0
NUM_HALVINGS = 40  # of the interval in which an upper bound lies: to 1e-12


def betting_p_value(losses: ArrayLike, max_risk: float, confidence: float) -> float:
    """p-value of the betting test: 1 over the largest capital on the way.

    The samples' order must not depend on their losses. confidence: tunes the bets, whatever it is
    the p-value is valid.
    """
    losses = _checked(losses)
    bets = np.vstack(
        [_plug_in_bets(losses, confidence), np.outer(CONSTANT_BETS, np.ones(len(losses)))]
    )
    shares = np.r_[0.5, np.full(len(CONSTANT_BETS), 0.5 / len(CONSTANT_BETS))]
    with np.errstate(divide="ignore"):
        log_capital = np.log1p(bets * (max_risk - losses)).cumsum(axis=1)  # (bettors, n)
    peaks = log_capital.max(axis=0)
    capital = peaks + np.log(shares @ np.exp(log_capital - peaks))
    return math.exp(-max(0.0, float(capital.max())))


def _plug_in_bets(losses: Array, confidence: float) -> Array:
    """Bets on each loss from the mean and variance of those before it, (n,), at most 1."""
    number = np.arange(1, len(losses) + 1)
    means = (0.5 + losses.cumsum()) / (1 + number)
    variances = (0.25 + np.square(losses - means).cumsum()) / (1 + number)
    before = np.r_[0.25, variances[:-1]]
    return np.minimum(1.0, np.sqrt(2.0 * math.log(1.0 / (1.0 - confidence)) / len(losses) / before))


def hoeffding_bentkus_p_value(losses: ArrayLike, max_risk: float, confidence: float = 0.0) -> float:
    """p-value from the mean loss: the smaller of Hoeffding's, exp(-n kl(mean, D)), and Bentkus's, e
    times the binomial tail.
    """
    losses = _checked(losses)
    return _hoeffding_bentkus(float(losses.mean()), len(losses), max_risk)


def _hoeffding_bentkus(mean: float, n: int, max_risk: float) -> float:
    if mean >= max_risk:
        return 1.0
    if max_risk >= 1.0:
        return 0.0
    hoeffding = math.exp(-n * _divergence(mean, max_risk))
    return min(1.0, hoeffding, math.e * _binomial_tail(math.ceil(n * mean - 1e-9), n, max_risk))


def _divergence(mean: float, other: float) -> float:
    """Kullback-Leibler divergence of two coins, in nats."""
    rising = mean * math.log(mean / other) if mean > 0.0 else 0.0
    return rising + (1.0 - mean) * math.log((1.0 - mean) / (1.0 - other))


def _binomial_tail(most: int, n: int, chance: float) -> float:
    """Probability of at most so many successes in n."""
    logs = [
        math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
        + k * math.log(chance) + (n - k) * math.log1p(-chance)
        for k in range(most + 1)
    ]  # fmt: skip
    return math.fsum(map(math.exp, logs))


def upper_bound(losses: ArrayLike, confidence: float, p_value: PValue = betting_p_value) -> float:
    """Upper confidence bound of the expected loss: the smallest D that the test would grant."""
    low, high = 0.0, 1.0
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2.0
        granted = p_value(losses, middle, confidence) <= 1.0 - confidence
        low, high = (low, middle) if granted else (middle, high)
    return high


def samples_needed(mean_loss: float, max_risk: float, confidence: float) -> int | None:
    """How many samples of such a mean loss let Hoeffding-Bentkus grant D; None when no number does.
    With a mean of 0 it is log(1 - confidence) / log(1 - D).
    """
    if mean_loss >= max_risk:
        return None
    low, high = 0, 1
    while _hoeffding_bentkus(mean_loss, high, max_risk) > 1.0 - confidence:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        enough = _hoeffding_bentkus(mean_loss, middle, max_risk) <= 1.0 - confidence
        low, high = (low, middle) if enough else (middle, high)
    return high


@dataclass(frozen=True)
class FixedSequence:
    """Tests along a path, in order. p_values: of the settings that were tested. num_passed: how
    many passed, from the first on; the last of them is the one to keep, none of them the next.
    """

    p_values: tuple[float, ...]
    num_passed: int


def fixed_sequence(
    path: Iterable[ArrayLike],
    max_risk: float,
    confidence: float,
    p_value: PValue = betting_p_value,
) -> FixedSequence:
    """Test the losses of settings along a path that was fixed before, until one fails
    (Learn-then-Test, Angelopoulos et al., 2021).

    Every test may spend the whole error, because the first wrong grant would have to come first.
    path: may be lazy; nothing behind the first failure is asked for.
    """
    p_values: list[float] = []
    for losses in path:
        p_values.append(p_value(losses, max_risk, confidence))
        if p_values[-1] > 1.0 - confidence:
            return FixedSequence(tuple(p_values), len(p_values) - 1)
    return FixedSequence(tuple(p_values), len(p_values))


def _checked(losses: ArrayLike) -> Array:
    """Losses as an array. Raises ValueError for none, or for one outside [0, 1]."""
    checked = np.asarray(losses, dtype=np.float64)
    if checked.ndim != 1 or not len(checked):
        raise ValueError("a bound needs the losses of at least one sample")
    if not ((checked >= 0.0) & (checked <= 1.0)).all():
        raise ValueError("losses must lie in [0, 1]")
    return checked
