"""Thresholds that reach a target reduction at the best score, with few real evaluations.

What a threshold saves is known beforehand: the full model's exit scores on `val` say after which
layer each row would leave. What it costs in score is not; only running it tells. So every setting
that is tried lies just above the target, where the best one must be (saving less keeps more of the
score), and each measurement teaches the estimates which one to try next: the smallest estimated
loss, less a bonus for lying far from settings already tried, which shrinks to nothing. Nothing here
knows the model or the data, and nothing is random.

Letters: R rows of exit scores, N layers.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mue_cli.calibration.estimates import most_promising
from mue_cli.calibration.settings import Point, Settings
from mue_cli.errors import MueError

Evaluate = Callable[[Mapping[str, float]], Point]
"""Runs a setting on `val`."""

Progress = Callable[[int, int], None]
"""Settings run, and how many there may be."""


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
    settings: Settings,
    evaluate: Evaluate,
    target: float,
    max_evaluations: int = 24,
    progress: Progress | None = None,
) -> Calibration:
    """Search the thresholds with the best score among those whose measured reduction is at least
    `target`.

    settings: from the full model's exit scores on `val`; in generation the decoder's go through
        `without_decay` first where its threshold decays.
    target: fraction. max_evaluations: how often `evaluate` may be called, the full model included.

    Of equal scores the larger reduction wins. Raises MueError for a target out of range or out of
    reach, stating the largest reachable reduction, which is measured by leaving every stream as
    early as its rule allows.
    """
    _check(target, max_evaluations)
    search = _Search(settings, evaluate, max_evaluations, progress)
    search.run(settings.full)
    if settings.reduction.max() < target and search.run(settings.earliest).reduction < target:
        raise out_of_reach(target, search.points[-1].reduction)
    best = search.reach(target, max_evaluations)
    if best is None:
        raise out_of_reach(target, max(point.reduction for point in search.points))
    return Calibration(
        best.thresholds,
        best.score,
        search.points[0].score,
        best.reduction,
        target,
        tuple(search.points),
    )


def trade_off(
    settings: Settings,
    evaluate: Evaluate,
    targets: Sequence[float],
    evaluations_each: int,
    progress: Progress | None = None,
) -> dict[float, Point]:
    """Best setting for each target that can be reached, by target; all targets share what was
    measured.

    evaluations_each: how often `evaluate` may be called for a target; once more for the full model.
    Other arguments as in `calibrate`.
    """
    search = _Search(settings, evaluate, 1 + len(targets) * evaluations_each, progress)
    search.run(search.settings.full)
    best = {
        target: search.reach(target, 1 + number * evaluations_each)
        for number, target in enumerate(sorted(targets), start=1)
    }
    return {target: point for target, point in best.items() if point is not None}


class _Search:
    """Settings that were run, and the next one to run."""

    def __init__(
        self,
        settings: Settings,
        evaluate: Evaluate,
        budget: int,
        progress: Progress | None,
    ) -> None:
        self.settings = settings
        self.tried: list[int] = []
        self.points: list[Point] = []
        self._evaluate, self._progress, self._budget = evaluate, progress, budget

    def run(self, candidate: int) -> Point:
        """Evaluate a setting."""
        self.tried.append(candidate)
        self.points.append(self._evaluate(self.settings[candidate]))
        if self._progress is not None:
            self._progress(len(self.points), self._budget)
        return self.points[-1]

    def reach(self, target: float, budget: int) -> Point | None:
        """Run settings until so many were run in all; return the best that saves at least `target`,
        None when none does.
        """
        while len(self.points) < budget:
            candidate = self._next(target, budget)
            if candidate is None:
                break
            self.run(candidate)
        feasible = [point for point in self.points if point.reduction >= target]
        return max(feasible, key=lambda point: (point.score, point.reduction)) if feasible else None

    def _next(self, target: float, budget: int) -> int | None:
        candidate = most_promising(self.settings, self.tried, self.points, target, budget)
        reached = any(point.reduction >= target for point in self.points)
        last = candidate is None or len(self.points) == budget - 1
        earliest = self.settings.earliest
        return earliest if last and not reached and earliest not in self.tried else candidate


def _check(target: float, max_evaluations: int) -> None:
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


def out_of_reach(target: float, most: float) -> MueError:
    """The error for a target that no setting reaches. most: the largest reduction that one does."""
    return MueError(
        f"a reduction of {target:.1%} cannot be reached: "
        f"leaving every stream as early as possible saves {most:.1%}",
        f"ask for at most {math.floor(most * 100) / 100:.2f}, "
        "or run fewer decoding steps at full depth",
    )
