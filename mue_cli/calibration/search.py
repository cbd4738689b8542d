"""Thresholds that reach a target reduction at the best score, found with few real evaluations.

What a threshold saves is known beforehand: the full model's similarities on `val` (a *profile*) say
after which layer each row would leave. What it costs in score is not; only running it tells. So
every setting that is tried lies just above the target, where the best one must be (saving less
keeps more of the score), and each measurement teaches two estimates which one to try next:

- reduction: the profiles' prediction (exact for the encoder, near for the decoder, whose words and
  inputs change), corrected by what was measured at settings nearby;
- loss: the logarithm of the score's fall, as a sum of convex, rising functions of each stream's
  saved layers, fitted to all measurements.

The next setting has the smallest estimated loss, less a bonus for lying far from settings already
tried, which shrinks to nothing. Nothing here knows the model or the data, and nothing is random.

Letters: R rows of a profile, N layers, C candidate settings, K streams, E evaluations so far.
"""

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array, Ladder, ladder
from mue_cli.errors import MueError

BAND = 0.02  # settings estimated to save this much more than needed are not worth running
NUM_KNOTS = 6  # where a stream's loss may bend
RIDGE = 0.003
EXPLORATION = 0.3  # log-score that a distance of all layers of one stream is worth at the start
WORST_RATIO = 0.02  # scores below this share of the full model's are all equally useless


@dataclass(frozen=True)
class Point:
    """One setting that was really run. reduction: measured, Eq. 14, a fraction."""

    thresholds: Mapping[str, float]
    score: float
    reduction: float


@dataclass(frozen=True)
class Calibration:
    """The best setting whose measured reduction is at least `target`, and every setting that was
    run, the full model first.
    """

    thresholds: Mapping[str, float]
    score: float
    full_score: float
    reduction: float
    target: float
    evaluations: tuple[Point, ...]


def calibrate(
    profiles: Mapping[str, ArrayLike],
    evaluate: Callable[[Mapping[str, float]], Point],
    target: float,
    max_evaluations: int = 24,
    progress: Callable[[int, int], None] | None = None,
) -> Calibration:
    """Search the thresholds with the best score among those whose measured reduction is at least
    `target`.

    profiles: per stream that has a rule ("image" and "text", or "joint", and "decoder", or
        "decoder" alone) what the rule would have seen of the full model on `val`, (R, N): a row is
        a sample, in the decoder a word. In generation pass the decoder's through `without_decay`
        first where its threshold decays.
    evaluate: runs a setting on `val`. target: fraction. max_evaluations: how often `evaluate` may
    be called, the full model included. Of equal scores the larger reduction wins. Raises MueError
    for a target out of range or out of reach, stating the largest reachable reduction, which is
    measured by leaving every stream as early as its rule allows.
    """
    _check(profiles, target, max_evaluations)
    search = _Search(profiles, evaluate, max_evaluations, progress)
    search.run(search.grid.full)
    if search.grid.reduction.max() < target and search.run(search.grid.earliest).reduction < target:
        raise _out_of_reach(target, search.points[-1])
    best = search.reach(target, max_evaluations)
    if best is None:
        raise _out_of_reach(target, max(search.points, key=lambda point: point.reduction))
    return Calibration(
        best.thresholds,
        best.score,
        search.points[0].score,
        best.reduction,
        target,
        tuple(search.points),
    )


def trade_off(
    profiles: Mapping[str, ArrayLike],
    evaluate: Callable[[Mapping[str, float]], Point],
    targets: Sequence[float],
    evaluations_each: int,
    progress: Callable[[int, int], None] | None = None,
) -> dict[float, Point]:
    """Return the best setting found for each target that can be reached, by target; all targets
    share what was measured.

    evaluations_each: how often `evaluate` may be called for a target; once more for the full model.
    Other arguments as in `calibrate`.
    """
    search = _Search(profiles, evaluate, 1 + len(targets) * evaluations_each, progress)
    search.run(search.grid.full)
    found = {
        target: search.reach(target, 1 + number * evaluations_each)
        for number, target in enumerate(sorted(targets), start=1)
    }
    return {target: point for target, point in found.items() if point is not None}


class _Search:
    """Settings that were run, and the next one to run."""

    def __init__(
        self,
        profiles: Mapping[str, ArrayLike],
        evaluate: Callable[[Mapping[str, float]], Point],
        budget: int,
        progress: Callable[[int, int], None] | None,
    ) -> None:
        self.grid = _Grid.of({stream: ladder(profile) for stream, profile in profiles.items()})
        self.tried: list[int] = []
        self.points: list[Point] = []
        self._evaluate, self._progress, self._budget = evaluate, progress, budget

    def run(self, candidate: int) -> Point:
        """Evaluate a setting."""
        self.tried.append(candidate)
        self.points.append(self._evaluate(self.grid.setting(candidate)))
        if self._progress is not None:
            self._progress(len(self.points), self._budget)
        return self.points[-1]

    def reach(self, target: float, budget: int) -> Point | None:
        """Run settings until so many were run in all; return the best that saves at least `target`,
        None when none does.
        """
        earliest = self.grid.earliest
        while len(self.points) < budget:
            nothing_reached = not any(point.reduction >= target for point in self.points)
            candidate = _next(self.grid, self.tried, self.points, target, budget)
            if (
                nothing_reached
                and earliest not in self.tried
                and (candidate is None or len(self.points) == budget - 1)
            ):
                candidate = earliest
            if candidate is None:
                break
            self.run(candidate)
        feasible = [point for point in self.points if point.reduction >= target]
        return max(feasible, key=lambda point: (point.score, point.reduction)) if feasible else None


@dataclass(frozen=True)
class _Grid:
    """All candidate settings. thresholds, saved: (C, K), the decoder last. reduction: (C,), Eq. 14
    as the profiles predict it.
    """

    streams: tuple[str, ...]
    thresholds: Array
    saved: Array
    reduction: Array

    @classmethod
    def of(cls, ladders: Mapping[str, Ladder]) -> "_Grid":
        streams = (*(stream for stream in ladders if stream != "decoder"), "decoder")
        thresholds = np.array(
            list(itertools.product(*(ladders[stream].thresholds for stream in streams)))
        )
        saved = np.array(list(itertools.product(*(ladders[stream].saved for stream in streams))))
        encoder = (
            saved[:, :-1].mean(axis=1) if len(streams) > 1 else 0.0
        )  # a method of the decoder alone saves nothing there
        return cls(streams, thresholds, saved, (encoder + saved[:, -1]) / 2.0)

    @property
    def full(self) -> int:
        return 0

    @property
    def earliest(self) -> int:
        return len(self.saved) - 1

    def setting(self, candidate: int) -> dict[str, float]:
        return {
            stream: float(value)
            for stream, value in zip(self.streams, self.thresholds[candidate], strict=True)
        }

    def distances(self, tried: Sequence[int]) -> Array:
        """Return (C, E): how far apart settings are, in saved fractions."""
        return np.linalg.norm(self.saved[:, None] - self.saved[list(tried)][None], axis=2)


def _next(
    grid: _Grid, tried: Sequence[int], points: Sequence[Point], target: float, max_evaluations: int
) -> int | None:
    """Return the most promising setting not yet tried whose estimated reduction just reaches the
    target; None when there is none.
    """
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
    """Correct the profiles' prediction, (C,), by the errors at settings tried nearby; far from all
    of them the prediction stands.
    """
    errors = np.array([point.reduction for point in points]) - grid.reduction[list(tried)]
    nearness = (grid.distances(tried) + 0.03) ** -4
    return grid.reduction + nearness @ errors / (nearness.sum(axis=1) + 0.3**-4)


def _estimate_loss(grid: _Grid, tried: Sequence[int], points: Sequence[Point]) -> Array:
    """Fit -log(score / full score), (C,), as a sum over streams of convex rising functions of what
    they save.

    Small losses weigh most: where the score is ruined, it does not matter how much.
    """
    ratios = np.array([point.score for point in points]) / max(points[0].score, 1e-9)
    losses = -np.log(np.clip(np.nan_to_num(ratios), WORST_RATIO, None))
    knots = np.arange(NUM_KNOTS) / NUM_KNOTS
    features = (np.maximum(0.0, grid.saved[:, :, None] - knots) / (1.0 - knots)).reshape(
        len(grid.saved), -1
    )  # (C, K knots)
    weights = 1.0 / (0.03 + np.maximum(losses, 0.0))
    coefficients = _non_negative_fit(features[list(tried)] * weights[:, None], losses * weights)
    even = 3e-4 * np.square(grid.saved).sum(
        axis=1
    )  # between equals, spread the saving over the streams
    return features @ coefficients + even


def _non_negative_fit(features: Array, values: Array) -> Array:
    """Solve ridge regression with coefficients of at least zero, by coordinate descent."""
    gram = features.T @ features + RIDGE * np.eye(features.shape[1])
    moments = features.T @ values
    coefficients = np.zeros(features.shape[1])
    for _ in range(300):
        for j in range(len(coefficients)):
            coefficients[j] = max(
                0.0, coefficients[j] + (moments[j] - gram[j] @ coefficients) / gram[j, j]
            )
    return coefficients


def _check(profiles: Mapping[str, ArrayLike], target: float, max_evaluations: int) -> None:
    if not 0.0 < target < 1.0:
        raise MueError(
            f"target reduction {target:g} is not between 0 and 1",
            "give a fraction: 0.4 stands for 40 %",
        )
    if max_evaluations < 3:
        raise MueError(
            f"{max_evaluations} evaluations are too few to calibrate",
            "allow at least 3: the full model, one setting, the earliest exits",
        )
    if "decoder" not in profiles:
        raise ValueError(f"a profile of the decoder is needed, not only of {sorted(profiles)}")


def _out_of_reach(target: float, earliest: Point) -> MueError:
    return MueError(
        f"a reduction of {target:.1%} cannot be reached: leaving every stream as early as possible saves {earliest.reduction:.1%}",
        f"ask for at most {math.floor(earliest.reduction * 100) / 100:.2f}, or run fewer decoding steps at full depth",
    )
