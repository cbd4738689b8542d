"""Thresholds that reach a target reduction at the best score, found with few real evaluations.

What a threshold saves is known beforehand: the full model's similarities on `val` (a *profile*) say after which layer each row would leave.
What it costs in score is not; only running it tells. So every setting that is tried lies just above the target, where the best one must be
(saving less keeps more of the score), and each measurement teaches two estimates which one to try next:

- reduction: the profiles' prediction (exact for the encoder, near for the decoder, whose words and inputs change), corrected by what was
  measured at settings nearby;
- loss: the logarithm of the score's fall, as a sum of convex, rising functions of each stream's saved layers, fitted to all measurements.

The next setting has the smallest estimated loss, less a bonus for lying far from settings already tried, which shrinks to nothing.
Nothing here knows the model or the data, and nothing is random.

Letters: R rows of a profile, N layers, C candidate settings, K streams, E evaluations so far.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mue_cli.errors import MueError
from mue_cli.exits.decay import Decay, decayed_threshold

NEVER = 1.01
"""A threshold above any similarity: the stream runs all its layers."""

AT_ONCE = -1.0
"""A threshold below any similarity: the stream leaves after its first layer."""

NUM_LEVELS = 24  # thresholds per stream, evenly spaced in mean exit layer
SMALLEST_GAP = 2e-6  # observed similarities closer than this are one value seen through rounding
BAND = 0.02  # settings estimated to save this much more than needed are not worth running
NUM_KNOTS = 6  # where a stream's loss may bend
RIDGE = 0.003
EXPLORATION = 0.3  # log-score that a distance of all layers of one stream is worth at the start
WORST_RATIO = 0.02  # scores below this share of the full model's are all equally useless

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Point:
    """One setting that was really run. reduction: measured, Eq. 14, a fraction."""

    thresholds: Mapping[str, float]
    score: float
    reduction: float


@dataclass(frozen=True)
class Calibration:
    """The best setting whose measured reduction is at least `target`, and every setting that was run, the full model first."""

    thresholds: Mapping[str, float]
    score: float
    full_score: float
    reduction: float
    target: float
    evaluations: tuple[Point, ...]


@dataclass(frozen=True)
class Ladder:
    """A stream's candidate thresholds, from never to at once, and the fraction of its layers that each saves on the profile."""

    thresholds: Array
    saved: Array


def calibrate(
    profiles: Mapping[str, ArrayLike],
    evaluate: Callable[[Mapping[str, float]], Point],
    target: float,
    max_evaluations: int = 24,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Search the thresholds with the best score among those whose measured reduction is at least `target`.

    profiles: per stream ("image" and "text", or "joint", and "decoder") the full model's similarities on `val`, (R, N): a row is a sample,
        in the decoder a word. In generation pass the decoder's through `without_decay` first.
    evaluate: runs a setting on `val`. target: fraction. max_evaluations: how often `evaluate` may be called, the full model included.
    Of equal scores the larger reduction wins. Raises MueError for a target out of range or out of reach, stating the largest reachable
    reduction, which is measured by leaving every stream as early as its rule allows.
    """
    _check(profiles, target, max_evaluations)
    grid = _Grid.of({stream: ladder(profile) for stream, profile in profiles.items()})
    tried: list[int] = []
    points: list[Point] = []

    def run(candidate: int) -> Point:
        tried.append(candidate)
        points.append(evaluate(grid.setting(candidate)))
        if progress is not None:
            progress(len(points), max_evaluations)
        return points[-1]

    run(grid.full)
    if grid.reduction.max() < target and run(grid.earliest).reduction < target:
        raise _out_of_reach(target, points[-1])
    while len(points) < max_evaluations:
        nothing_reached = not any(point.reduction >= target for point in points)
        candidate = _next(grid, tried, points, target, max_evaluations)
        if nothing_reached and grid.earliest not in tried and (candidate is None or len(points) == max_evaluations - 1):
            candidate = grid.earliest
        if candidate is None:
            break
        run(candidate)
    feasible = [point for point in points if point.reduction >= target]
    if not feasible:
        raise _out_of_reach(target, max(points, key=lambda point: point.reduction))
    best = max(feasible, key=lambda point: (point.score, point.reduction))
    return Calibration(best.thresholds, best.score, points[0].score, best.reduction, target, tuple(points))


def without_decay(similarities: ArrayLike, steps: Sequence[int], num_steps: int, decay: Decay) -> Array:
    """Turn the decoder's similarities into what a threshold theta itself is compared with.

    Eq. 11 lets a word leave when s > beta * theta + d, where d is what it gives for a threshold of 0: that is, when (s - d) / beta > theta.
    Words of full-depth steps become -inf: no threshold lets them go.

    similarities: (R, N). steps: each row's decoding step t, from 1. num_steps: N of Eq. 11.
    """
    if not 0.0 < decay.beta <= 1.0:
        raise ValueError(f"beta must lie in (0, 1], not {decay.beta}")
    observed = np.asarray(similarities, dtype=np.float64)
    step = np.asarray(steps)[:, None]
    added = np.array([decayed_threshold(0.0, t, num_steps, decay.beta, decay.tau) for t in steps])[:, None]
    return np.where(step <= decay.full_depth_steps, -np.inf, (observed - added) / decay.beta)


def ladder(profile: ArrayLike, num_levels: int = NUM_LEVELS) -> Ladder:
    """Choose candidate thresholds for one stream, about evenly spaced in mean exit layer.

    A row leaves at the first layer whose similarity is above the threshold: it runs on after layer j if the largest of its first j is not.
    So the mean exit layer is 1 + (how many of these running maxima are at most the threshold) / R: once they are sorted, each rank is a
    mean exit layer. Thresholds stand in the widest gap near each level, never on an observed value.

    profile: (R, N). Returns at most num_levels + 1 steps.
    """
    observed = np.asarray(profile, dtype=np.float64)
    num_rows, num_layers = observed.shape
    peaks = np.sort(np.maximum.accumulate(observed[:, :-1], axis=1), axis=None)  # (R (N - 1),)
    never_leave = int(np.searchsorted(peaks, AT_ONCE))
    thresholds, ranks = [NEVER], [len(peaks)]
    spacing = (len(peaks) - never_leave) / num_levels
    for level in range(num_levels - 1, 0, -1):
        middle = never_leave + level * spacing
        rank = _widest_gap(peaks, math.ceil(middle - spacing / 2), math.floor(middle + spacing / 2))
        if rank is not None and rank < ranks[-1]:
            thresholds.append((peaks[rank - 1] + peaks[rank]) / 2)
            ranks.append(rank)
    thresholds.append(AT_ONCE)
    ranks.append(never_leave)
    mean_exit = 1.0 + np.array(ranks) / num_rows
    return Ladder(np.array(thresholds), 1.0 - mean_exit / num_layers)


def _widest_gap(peaks: Array, first: int, last: int) -> int | None:
    """Return the rank from first to last before which the sorted values have the widest gap; None where no threshold fits."""
    ranks = np.arange(max(first, 1), min(last, len(peaks) - 1) + 1)
    if not len(ranks):
        return None
    gaps = peaks[ranks] - peaks[ranks - 1]
    fits = np.isfinite(gaps) & (gaps > SMALLEST_GAP) & (peaks[ranks - 1] + peaks[ranks] <= 2.0)
    return int(ranks[np.where(fits, gaps, 0.0).argmax()]) if fits.any() else None


@dataclass(frozen=True)
class _Grid:
    """All candidate settings. thresholds, saved: (C, K), the decoder last. reduction: (C,), Eq. 14 as the profiles predict it."""

    streams: tuple[str, ...]
    thresholds: Array
    saved: Array
    reduction: Array

    @classmethod
    def of(cls, ladders: Mapping[str, Ladder]) -> "_Grid":
        streams = (*(stream for stream in ladders if stream != "decoder"), "decoder")
        thresholds = np.array(list(itertools.product(*(ladders[stream].thresholds for stream in streams))))
        saved = np.array(list(itertools.product(*(ladders[stream].saved for stream in streams))))
        return cls(streams, thresholds, saved, (saved[:, :-1].mean(axis=1) + saved[:, -1]) / 2.0)

    @property
    def full(self) -> int:
        return 0

    @property
    def earliest(self) -> int:
        return len(self.saved) - 1

    def setting(self, candidate: int) -> dict[str, float]:
        return {stream: float(value) for stream, value in zip(self.streams, self.thresholds[candidate], strict=True)}

    def distances(self, tried: Sequence[int]) -> Array:
        """Return (C, E): how far apart settings are, in saved fractions."""
        return np.linalg.norm(self.saved[:, None] - self.saved[list(tried)][None], axis=2)


def _next(grid: _Grid, tried: Sequence[int], points: Sequence[Point], target: float, max_evaluations: int) -> int | None:
    """Return the most promising setting not yet tried whose estimated reduction just reaches the target; None when there is none."""
    reduction = _estimate_reduction(grid, tried, points)
    reduction[list(tried)] = -np.inf
    if reduction.max() < target:
        return None
    possible = (reduction >= target) & (reduction <= reduction[reduction >= target].min() + BAND)
    value = _estimate_loss(grid, tried, points)
    if len(tried) > 1:
        fading = 1.0 - len(tried) / max_evaluations
        value -= EXPLORATION * fading * grid.distances(tried).min(axis=1)
    return int(np.where(possible, value, np.inf).argmin())


def _estimate_reduction(grid: _Grid, tried: Sequence[int], points: Sequence[Point]) -> Array:
    """Correct the profiles' prediction, (C,), by the errors at settings tried nearby; far from all of them the prediction stands."""
    errors = np.array([point.reduction for point in points]) - grid.reduction[list(tried)]
    nearness = (grid.distances(tried) + 0.03) ** -4
    return grid.reduction + nearness @ errors / (nearness.sum(axis=1) + 0.3**-4)


def _estimate_loss(grid: _Grid, tried: Sequence[int], points: Sequence[Point]) -> Array:
    """Fit -log(score / full score), (C,), as a sum over streams of convex rising functions of what they save.

    Small losses weigh most: where the score is ruined, it does not matter how much.
    """
    ratios = np.array([point.score for point in points]) / max(points[0].score, 1e-9)
    losses = -np.log(np.clip(np.nan_to_num(ratios), WORST_RATIO, None))
    knots = np.arange(NUM_KNOTS) / NUM_KNOTS
    features = (np.maximum(0.0, grid.saved[:, :, None] - knots) / (1.0 - knots)).reshape(len(grid.saved), -1)  # (C, K knots)
    weights = 1.0 / (0.03 + np.maximum(losses, 0.0))
    coefficients = _non_negative_fit(features[list(tried)] * weights[:, None], losses * weights)
    even = 3e-4 * np.square(grid.saved).sum(axis=1)  # between equals, spread the saving over the streams
    return features @ coefficients + even


def _non_negative_fit(features: Array, values: Array) -> Array:
    """Solve ridge regression with coefficients of at least zero, by coordinate descent."""
    gram = features.T @ features + RIDGE * np.eye(features.shape[1])
    moments = features.T @ values
    coefficients = np.zeros(features.shape[1])
    for _ in range(300):
        for j in range(len(coefficients)):
            coefficients[j] = max(0.0, coefficients[j] + (moments[j] - gram[j] @ coefficients) / gram[j, j])
    return coefficients


def _check(profiles: Mapping[str, ArrayLike], target: float, max_evaluations: int) -> None:
    if not 0.0 < target < 1.0:
        raise MueError(f"target reduction {target:g} is not between 0 and 1", "give a fraction: 0.4 stands for 40 %")
    if max_evaluations < 3:
        raise MueError(
            f"{max_evaluations} evaluations are too few to calibrate", "allow at least 3: the full model, one setting, the earliest exits"
        )
    if "decoder" not in profiles or len(profiles) < 2:
        raise ValueError(f"profiles of the decoder and at least one encoder stream are needed, not of {sorted(profiles)}")


def _out_of_reach(target: float, earliest: Point) -> MueError:
    return MueError(
        f"a reduction of {target:.1%} cannot be reached: leaving every stream as early as possible saves {earliest.reduction:.1%}",
        f"ask for at most {math.floor(earliest.reduction * 100) / 100:.2f}, or run fewer decoding steps at full depth",
    )
