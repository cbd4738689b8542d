"""Choosing a setting for a goal: a reduction, a largest drop, a certificate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mue_cli.calibration.candidates import evenly
from mue_cli.calibration.certificate import Certificate, certify, path_of
from mue_cli.calibration.estimates import BAND
from mue_cli.calibration.exit_table import GridMeans
from mue_cli.calibration.frontier import last_within, smoothed, staircase
from mue_cli.calibration.goal import Goal
from mue_cli.calibration.halving import SHORTLIST, Finalist, halve
from mue_cli.calibration.measured import Measured, Setting
from mue_cli.calibration.search import calibrate, out_of_reach, trade_off
from mue_cli.calibration.settings import Point, Settings
from mue_cli.calibration.suitability import Suitability, suitability
from mue_cli.evaluation.spending import Spending
from mue_cli.exits.decay import Decay
from mue_cli.experiment.progress import counting
from mue_cli.experiment.trials import Trials

PATH_TARGETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
"""Reductions whose best settings make the path where captions have to be written for each."""
EVALUATIONS_EACH = 2
TABLE_SHORTLIST = 32  # settings of a table cost nothing to measure again
TABLE_BAND = 0.01  # saving so much more than wanted is not looked at: what they save is known


@dataclass(frozen=True, eq=False)
class Choice:
    """The setting that was chosen, on the search's samples and on fresh ones.

    met: whether it reaches the goal. ties: settings that could not be told apart from it. frontier:
    the best settings by what they save, on the search's half. tried: every setting that was run
    there, the full model first.
    """

    finalist: Finalist
    met: bool
    ties: int
    frontier: tuple[Measured, ...]
    tried: tuple[Point, ...]
    certificate: Certificate | None = None


@dataclass(frozen=True, eq=False)
class Chooser:
    """Settings of one method, tried for a goal. full: the full model on all samples."""

    trials: Trials
    spending: Spending
    goal: Goal
    settings: Settings
    full: Measured
    max_evaluations: int
    memory: dict[tuple[tuple[str, float], ...], Measured] = field(default_factory=dict)

    @classmethod
    def of(cls, trials: Trials, spending: Spending, goal: Goal, how: Decay | None) -> "Chooser":
        """Settings from the exit scores of the search's half. how: Eq. 11's decay."""
        settings, full = trials.settings(spending, how), trials.full(spending)
        most = trials.experiment.recipe.calibration.max_evaluations
        return cls(trials, spending, goal, settings, full, most)

    def choose(self) -> Choice:
        """Choose a setting. Raises MueError for a reduction that nothing reaches."""
        target, drop = self.goal.target_reduction, self.goal.max_drop
        if drop is None:
            assert target is not None
            return self._at_target(target)
        if self.goal.confidence is not None:
            return self._certified(drop, target)
        if target is not None:
            choice = self._at_target(target)
            if self._drop(choice.finalist.judged) <= drop:
                return choice
        choice = self._within_drop(drop)
        met = target is None or choice.finalist.all.reduction >= target
        return Choice(choice.finalist, met, choice.ties, choice.frontier, choice.tried)

    def best_of(
        self, targets: Sequence[float], evaluations_each: int
    ) -> dict[float, dict[str, float]]:
        """Best setting for each target that can be reached, by target."""
        if self.trials.table is not None:
            order, reduction, _ = self._grid()
            best = {
                target: next((n for n in order if reduction[n] >= target), None)
                for target in targets
            }
            return {target: self.settings[n] for target, n in best.items() if n is not None}
        total = 1 + len(targets) * evaluations_each
        label = "settings for the sweep, on val"
        progress = counting(self.trials.experiment.progress, label, total)
        points = trade_off(self.settings, self._evaluate, targets, evaluations_each, progress)
        return {target: dict(point.thresholds) for target, point in points.items()}

    def suitability(self) -> Suitability | None:
        """How much exits could save at all, on the search's half; None where text is generated."""
        if self.trials.table is None:
            return None
        half = list(self.trials.halves.search)
        table, unchanged = self.trials.table.part(half), self.trials.unchanged[half]
        _, reduction, _ = self._grid()
        return suitability(table, unchanged, reduction, self._means.scores)

    def shares(self, num_points: int) -> dict[float, float]:
        """Decoder thresholds, by the share of all it can save: 1 / num_points to 1."""
        return evenly(self.settings.candidates["decoder"], num_points)

    # A reduction.

    def _at_target(self, target: float) -> Choice:
        tried, shortlist = self._shortlist(target)
        chosen = halve(shortlist, self._measure, self.full, self._fresh, target)
        measured = [self._searched(setting) for setting in tried]
        return Choice(
            chosen.finalist, chosen.met, chosen.ties, self._frontier, self._tried(measured)
        )

    def _shortlist(self, target: float) -> tuple[list[Setting], list[Measured]]:
        """Settings that were tried, and the best of those that save enough, as measured."""
        if self.trials.table is not None:
            # Savings come from exit scores alone: all samples may tell them, their answers may not.
            order, reduction = self._grid()[0], self._all_reductions
            if reduction.max() < target:
                raise out_of_reach(target, float(reduction.max()))
            least = reduction[reduction >= target].min()
            enough = [n for n in order if target <= reduction[n] <= least + TABLE_BAND]
            shortlist = self._distinct(enough, TABLE_SHORTLIST)
            tried = [Setting(self.settings[number]) for number in self._grid_front()]
            return tried, shortlist
        progress = counting(self.trials.experiment.progress, "calibrate", self.max_evaluations)
        result = calibrate(self.settings, self._evaluate, target, self.max_evaluations, progress)
        tried = [Setting(point.thresholds) for point in result.evaluations]
        measured = [self._searched(setting) for setting in tried]
        saving = [each for each in measured if each.reduction >= target]
        near = [each for each in saving if each.reduction <= target + BAND] or saving
        return tried, sorted(near, key=lambda each: (-each.score, -each.reduction))[:SHORTLIST]

    # A largest drop.

    def _within_drop(self, max_drop: float) -> Choice:
        """The largest reduction whose drop on fresh samples, luck evened out along the frontier, is
        within bounds.
        """
        path = self._path(2.0 * max_drop)
        finalists = [self._finalist(measured) for measured in path]
        drops = [self._drop(finalist.judged) for finalist in finalists]
        number = last_within(drops, max_drop)
        last = finalists[number - 1] if number else self._finalist(self.full_searched)
        return Choice(last, number > 0, 1, self._frontier, self._tried(path))

    def _certified(self, max_drop: float, target: float | None) -> Choice:
        """The last setting of the path that passed its test on the fresh half."""
        path = self._certifiable(2.0 * max_drop)
        if target is not None:
            path = path[: 1 + sum(each.reduction < target for each in path)]
        confidence = self.goal.confidence
        assert confidence is not None
        progress = counting(self.trials.experiment.progress, "certify", len(path))

        def losses(number: int) -> np.ndarray:
            progress(number, len(path))
            return self.trials.losses(path[number].setting, self._fresh)

        certificate = certify(
            len(path) if self._fresh else 0, losses, max_drop, confidence, self.goal.test,
            self.trials.loss_name,
        )  # fmt: skip
        progress(len(path), len(path))
        passed = certificate.num_passed
        last = self._finalist(path[passed - 1] if passed else self.full_searched)
        enough = target is None or last.all.reduction >= target
        met = passed > 0 and enough
        return Choice(last, met, 1, self._frontier, self._tried(path), certificate)

    def _path(self, most: float) -> list[Measured]:
        """Settings of the search's half from little saving to much, none that loses more than
        `most` there.
        """
        if self.trials.table is not None:
            path = [self._searched(Setting(self.settings[n])) for n in self._grid_front()]
        else:
            self._trade_off(self._evaluate)
            path = list(self._frontier)
        path = [each for each in path if each.reduction > 0.0]
        drops = [self._drop(each, self.full_searched) for each in path]
        return [path[number] for number in path_of(range(len(path)), drops, most)]

    def _certifiable(self, most: float) -> list[Measured]:
        """As `_path`, by the loss that a certificate bounds, where no gain makes up for a loss."""
        half = self.trials.halves.search
        if self.trials.table is not None:
            grid = self.trials.table.grid(self.settings, half, self.trials.table_losses)
            reduction = self.settings.reduction_of(grid.saved)
            order = staircase(reduction, -smoothed(grid.scores, self.settings.shape))
            path = [self._searched(Setting(self.settings[number])) for number in order]
        else:
            self._trade_off(self._evaluate_loss)
            path = list(self.memory.values())
        losses = [float(self.trials.losses(each.setting, half).mean()) for each in path]
        order = staircase([each.reduction for each in path], [-loss for loss in losses])
        order = [number for number in order if path[number].reduction > 0.0]
        kept = path_of(order, [losses[number] for number in order], most)
        return [path[number] for number in kept]

    def _trade_off(self, evaluate: Callable[[Mapping[str, float]], Point]) -> None:
        """Measure settings near the best of many reductions."""
        total = 1 + len(PATH_TARGETS) * EVALUATIONS_EACH
        progress = counting(self.trials.experiment.progress, "frontier", total)
        trade_off(self.settings, evaluate, PATH_TARGETS, EVALUATIONS_EACH, progress)

    def _evaluate_loss(self, thresholds: Mapping[str, float]) -> Point:
        """A setting whose score is what the loss leaves of 1."""
        measured = self._searched(Setting(dict(thresholds)))
        loss = self.trials.losses(measured.setting, self.trials.halves.search).mean()
        return Point(dict(thresholds), 1.0 - float(loss), measured.reduction)

    # Measurements.

    @cached_property
    def _means(self) -> GridMeans:
        """Mean scores and savings of all settings on the search's half."""
        assert self.trials.table is not None
        return self.trials.table.grid(self.settings, self.trials.halves.search)

    @cached_property
    def _all_reductions(self) -> np.ndarray:
        """Reductions of all settings on all samples."""
        assert self.trials.table is not None
        everything = range(self.trials.num_samples)
        saved = self.trials.table.grid(self.settings, everything).saved
        return self.settings.reduction_of(saved)

    def _grid(self) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Settings from the best to the worst, and the reductions and evened scores of all."""
        reduction = self.settings.reduction_of(self._means.saved)
        score = smoothed(self._means.scores, self.settings.shape)
        return np.lexsort((-reduction, -score)).tolist(), reduction, score

    def _grid_front(self) -> list[int]:
        _, reduction, score = self._grid()
        return staircase(reduction, score)

    def _distinct(self, order: Sequence[int], count: int) -> list[Measured]:
        """The first settings of an order that differ on the search's samples."""
        means = self._means
        same = [(float(means.scores[n]), *map(float, means.saved[n])) for n in order]
        first = dict(zip(reversed(same), reversed(order), strict=True))
        distinct = [first[key] for key in dict.fromkeys(same)][:count]
        return [self._searched(Setting(self.settings[number])) for number in distinct]

    @property
    def _frontier(self) -> tuple[Measured, ...]:
        """The best settings by what they save, on the search's half."""
        if self.trials.table is not None:
            return tuple(self._searched(Setting(self.settings[n])) for n in self._grid_front())
        measured = list(self.memory.values())
        saved, scores = [each.reduction for each in measured], [each.score for each in measured]
        return tuple(measured[number] for number in staircase(saved, scores))

    def _tried(self, measured: Sequence[Measured]) -> tuple[Point, ...]:
        """Points of settings, the full model first."""
        full = self._point(self.full_searched)
        rest = [point for each in measured if (point := self._point(each)) != full]
        return (full, *rest)

    def _evaluate(self, thresholds: Mapping[str, float]) -> Point:
        return self._point(self._searched(Setting(dict(thresholds))))

    def _searched(self, setting: Setting) -> Measured:
        """A setting on the search's half, measured once."""
        key = tuple(setting.thresholds.items())
        if key not in self.memory:
            self.memory[key] = self._measure(setting, self.trials.halves.search)
        return self.memory[key]

    def _finalist(self, searched: Measured) -> Finalist:
        if not self._fresh:
            return Finalist(searched)
        if searched is self.full_searched:
            return Finalist(searched, self.full.of(self._fresh))
        return Finalist(searched).run(self._measure, self._fresh)

    def _measure(self, setting: Setting, samples: Sequence[int]) -> Measured:
        return self.trials.measure(setting, samples, self.spending)

    @cached_property
    def full_searched(self) -> Measured:
        """The full model on the search's half, as a setting that never leaves."""
        half = self.full.of(self.trials.halves.search)
        return replace(half, setting=Setting(self.settings[self.settings.full]))

    @property
    def _fresh(self) -> Sequence[int]:
        return self.trials.halves.fresh

    def _drop(self, measured: Measured, full: Measured | None = None) -> float:
        """Relative fall of the score on the samples of `measured`."""
        whole = self.full.of(self._fresh or self.trials.halves.search) if full is None else full
        return 1.0 - measured.score / whole.score if whole.score > 0.0 else 0.0

    @staticmethod
    def _point(measured: Measured) -> Point:
        return Point(dict(measured.setting.thresholds), measured.score, measured.reduction)
