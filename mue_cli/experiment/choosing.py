"""Choosing a setting for a goal: a reduction, a largest drop, a certificate."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mue_cli.calibration.candidates import evenly
from mue_cli.calibration.certificate import Certificate, certify, path_of, without_detours
from mue_cli.calibration.estimates import BAND
from mue_cli.calibration.frontier import last_within, smoothed, staircase
from mue_cli.calibration.goal import Goal
from mue_cli.calibration.halving import SHORTLIST, Finalist, halve
from mue_cli.calibration.measured import Measured, Setting
from mue_cli.calibration.search import calibrate, out_of_reach, trade_off
from mue_cli.calibration.settings import Point, Settings
from mue_cli.calibration.suitability import Suitability, suitability
from mue_cli.evaluation.spending import Spending
from mue_cli.exits.decay import Decay
from mue_cli.experiment.decays import OtherDecays
from mue_cli.experiment.measurements import Measurements
from mue_cli.experiment.progress import counting
from mue_cli.experiment.suits import written_suitability
from mue_cli.experiment.trials import Trials

PATH_TARGETS = (0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7)
"""Reductions whose best settings make the path where captions have to be written for each."""
EVALUATIONS_EACH = 2
VARIED = 2  # best settings that are tried under other decays
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
    """Settings of one method, tried for a goal. decays: of Eq. 11 that are tried too."""

    measured: Measurements
    goal: Goal
    max_evaluations: int
    decays: OtherDecays | None = None

    @classmethod
    def of(cls, trials: Trials, spending: Spending, goal: Goal, how: Decay | None) -> "Chooser":
        """Settings from the exit scores of the search's half. how: Eq. 11's decay."""
        settings = trials.settings(spending, how)
        measured = Measurements(trials, spending, settings, trials.full(spending))
        section = trials.experiment.recipe.calibration
        decays = OtherDecays.of(trials, how) if how is not None and section.search_decay else None
        return cls(measured, goal, section.max_evaluations, decays)

    @property
    def trials(self) -> Trials:
        return self.measured.trials

    @property
    def settings(self) -> Settings:
        return self.measured.settings

    @property
    def full(self) -> Measured:
        return self.measured.full

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
            if self.measured.drop(choice.finalist.judged) <= drop:
                return choice
        choice = self._within_drop(drop)
        met = target is None or choice.finalist.all.reduction >= target
        return Choice(choice.finalist, met, choice.ties, choice.frontier, choice.tried)

    def best_of(
        self, targets: Sequence[float], evaluations_each: int
    ) -> dict[float, dict[str, float]]:
        """Best setting for each target that can be reached, by target."""
        if self.trials.table is not None:
            order, reduction, _ = self.measured.grid()
            best = {
                target: next((n for n in order if reduction[n] >= target), None)
                for target in targets
            }
            return {target: self.settings[n] for target, n in best.items() if n is not None}
        total = 1 + len(targets) * evaluations_each
        label = "settings for the sweep, on val"
        progress = counting(self.trials.experiment.progress, label, total)
        run = self.measured.evaluate
        points = trade_off(self.settings, run, targets, evaluations_each, progress)
        return {target: dict(point.thresholds) for target, point in points.items()}

    def suitability(self) -> Suitability:
        """How much exits could save at all, on the search's half."""
        if self.trials.table is None:
            return written_suitability(self.measured)
        half = list(self.trials.halves.search)
        table, unchanged = self.trials.table.part(half), self.trials.unchanged[half]
        _, reduction, _ = self.measured.grid()
        return suitability(table, unchanged, reduction, self.measured.means.scores)

    def shares(self, num_points: int) -> dict[float, float]:
        """Decoder thresholds, by the share of all it can save: 1 / num_points to 1."""
        return evenly(self.settings.candidates["decoder"], num_points)

    # A reduction.

    def _at_target(self, target: float) -> Choice:
        tried, shortlist = self._shortlist(target)
        chosen = halve(shortlist, self.measured.measure, self.full, self.measured.fresh, target)
        run = self.measured.tried([self.measured.searched(setting) for setting in tried])
        return Choice(chosen.finalist, chosen.met, chosen.ties, self.measured.frontier, run)

    def _shortlist(self, target: float) -> tuple[list[Setting], list[Measured]]:
        """Settings that were tried, and the best of those that save enough, as measured."""
        if self.trials.table is not None:
            # Savings come from exit scores alone: all samples may tell them, their answers may not.
            order, reduction = self.measured.grid()[0], self.measured.all_reductions
            if reduction.max() < target:
                raise out_of_reach(target, float(reduction.max()))
            least = reduction[reduction >= target].min()
            enough = [n for n in order if target <= reduction[n] <= least + TABLE_BAND]
            shortlist = self.measured.distinct(enough, TABLE_SHORTLIST)
            tried = [Setting(self.settings[number]) for number in self.measured.grid_front()]
            return tried, shortlist
        progress = counting(self.trials.experiment.progress, "calibrate", self.max_evaluations)
        result = calibrate(
            self.settings, self.measured.evaluate, target, self.max_evaluations, progress
        )
        tried = [Setting(point.thresholds) for point in result.evaluations]
        measured = [self.measured.searched(setting) for setting in tried]
        saving = [each for each in measured if each.reduction >= target]
        best = sorted(saving, key=lambda each: (-each.score, -each.reduction))[:VARIED]
        variants = self._under_other_decays(best)
        tried += [each.setting for each in variants]
        saving += [each for each in variants if each.reduction >= target]
        near = [each for each in saving if each.reduction <= target + BAND] or saving
        return tried, sorted(near, key=lambda each: (-each.score, -each.reduction))[:SHORTLIST]

    # A largest drop.

    def _within_drop(self, max_drop: float) -> Choice:
        """The largest reduction whose drop on fresh samples, luck evened out along the frontier, is
        within bounds.
        """
        path = self._path(2.0 * max_drop)
        finalists = [self.measured.finalist(measured) for measured in path]
        drops = [self.measured.drop(finalist.judged) for finalist in finalists]
        number = last_within(drops, max_drop)
        last = (
            finalists[number - 1] if number else self.measured.finalist(self.measured.full_searched)
        )
        return Choice(last, number > 0, 1, self.measured.frontier, self.measured.tried(path))

    def _certified(self, max_drop: float, target: float | None) -> Choice:
        """The last setting of the path that passed its test on the fresh half."""
        path = self._certifiable(max_drop)
        if target is not None:
            path = path[: 1 + sum(each.reduction < target for each in path)]
        confidence = self.goal.confidence
        assert confidence is not None
        progress = counting(self.trials.experiment.progress, "certify", len(path))

        def losses(number: int) -> np.ndarray:
            progress(number, len(path))
            return self.trials.losses(path[number].setting, self.measured.fresh)

        certificate = certify(
            len(path) if self.measured.fresh else 0, losses, max_drop, confidence, self.goal.test,
            self.trials.loss_name,
        )  # fmt: skip
        progress(len(path), len(path))
        passed = certificate.num_passed
        last = self.measured.finalist(path[passed - 1] if passed else self.measured.full_searched)
        enough = target is None or last.all.reduction >= target
        met = passed > 0 and enough
        return Choice(last, met, 1, self.measured.frontier, self.measured.tried(path), certificate)

    def _path(self, most: float) -> list[Measured]:
        """Settings of the search's half from little saving to much, none that loses more than
        `most` there.
        """
        if self.trials.table is not None:
            path = [
                self.measured.searched(Setting(self.settings[n]))
                for n in self.measured.grid_front()
            ]
        else:
            self._trade_off(self.measured.evaluate)
            self._under_other_decays(self.measured.frontier)
            path = list(self.measured.frontier)
        path = [each for each in path if each.reduction > 0.0]
        drops = [self.measured.drop(each, self.measured.full_searched) for each in path]
        return [path[number] for number in path_of(range(len(path)), drops, most)]

    def _certifiable(self, max_drop: float) -> list[Measured]:
        """As `_path`, by the loss that a certificate bounds, where no gain makes up for a loss.

        What loses more than twice `max_drop` could not pass; what loses more than half of it must
        not stand in the way of what saves more and loses less.
        """
        half = self.trials.halves.search
        if self.trials.table is not None:
            grid = self.trials.table.grid(self.settings, half, self.trials.table_losses)
            reduction = self.settings.reduction_of(grid.saved)
            order = staircase(reduction, -smoothed(grid.scores, self.settings.shape))
            path = [self.measured.searched(Setting(self.settings[number])) for number in order]
        else:
            self._trade_off(self._evaluate_loss)
            self._under_other_decays(self.measured.frontier)
            path = list(self.measured.memory.values())
        losses = [float(self.trials.losses(each.setting, half).mean()) for each in path]
        order = staircase([each.reduction for each in path], [-loss for loss in losses])
        order = [number for number in order if path[number].reduction > 0.0]
        order = without_detours(order, [losses[number] for number in order], max_drop / 2.0)
        kept = path_of(order, [losses[number] for number in order], 2.0 * max_drop)
        return [path[number] for number in kept]

    def _under_other_decays(self, some: Sequence[Measured]) -> list[Measured]:
        """Settings under the other decays of Eq. 11, where they are searched."""
        if self.decays is None:
            return []
        settings = [each for one in some for each in self.decays.variants(one.setting)]
        progress = counting(self.trials.experiment.progress, "beta and tau", len(settings))
        measured = []
        for number, setting in enumerate(settings, start=1):
            measured.append(self.measured.searched(setting))
            progress(number, len(settings))
        return measured

    def _trade_off(self, evaluate: Callable[[Mapping[str, float]], Point]) -> None:
        """Measure settings near the best of many reductions."""
        total = 1 + len(PATH_TARGETS) * EVALUATIONS_EACH
        progress = counting(self.trials.experiment.progress, "frontier", total)
        trade_off(self.settings, evaluate, PATH_TARGETS, EVALUATIONS_EACH, progress)

    def _evaluate_loss(self, thresholds: Mapping[str, float]) -> Point:
        """A setting whose score is what the loss leaves of 1."""
        measured = self.measured.searched(Setting(dict(thresholds)))
        loss = self.trials.losses(measured.setting, self.trials.halves.search).mean()
        return Point(dict(thresholds), 1.0 - float(loss), measured.reduction)
