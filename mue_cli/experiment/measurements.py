"""What settings of one method do on the samples of a calibration, each measured once."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from mue_cli.calibration.exit_table import GridMeans
from mue_cli.calibration.frontier import smoothed, staircase
from mue_cli.calibration.halving import Finalist
from mue_cli.calibration.measured import Measured, Setting
from mue_cli.calibration.settings import Point, Settings
from mue_cli.evaluation.spending import Spending
from mue_cli.experiment.trials import Trials

Key = tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]
"""A setting's thresholds and decay."""


@dataclass(frozen=True, eq=False)
class Measurements:
    """Settings of one method on the search's half and on fresh samples.

    settings: all candidates. full: the full model on all samples. memory: what was measured on the
    search's half.
    """

    trials: Trials
    spending: Spending
    settings: Settings
    full: Measured
    memory: dict[Key, Measured] = field(default_factory=dict)

    @cached_property
    def means(self) -> GridMeans:
        """Mean scores and savings of all settings on the search's half."""
        assert self.trials.table is not None
        return self.trials.table.grid(self.settings, self.trials.halves.search)

    @cached_property
    def all_reductions(self) -> np.ndarray:
        """Reductions of all settings on all samples."""
        assert self.trials.table is not None
        everything = range(self.trials.num_samples)
        saved = self.trials.table.grid(self.settings, everything).saved
        return self.settings.reduction_of(saved)

    def grid(self) -> tuple[list[int], np.ndarray, np.ndarray]:
        """Settings from the best to the worst, and the reductions and evened scores of all."""
        reduction = self.settings.reduction_of(self.means.saved)
        score = smoothed(self.means.scores, self.settings.shape)
        return np.lexsort((-reduction, -score)).tolist(), reduction, score

    def grid_front(self) -> list[int]:
        """Settings of a table that no other beats, and the way up to them."""
        _, reduction, score = self.grid()
        return staircase(reduction, score)

    def distinct(self, order: Sequence[int], count: int) -> list[Measured]:
        """The first settings of an order that differ on the search's samples."""
        means = self.means
        same = [(float(means.scores[n]), *map(float, means.saved[n])) for n in order]
        first = dict(zip(reversed(same), reversed(order), strict=True))
        distinct = [first[key] for key in dict.fromkeys(same)][:count]
        return [self.searched(Setting(self.settings[number])) for number in distinct]

    @property
    def frontier(self) -> tuple[Measured, ...]:
        """The best settings by what they save, on the search's half."""
        if self.trials.table is not None:
            return tuple(self.searched(Setting(self.settings[n])) for n in self.grid_front())
        measured = list(self.memory.values())
        saved, scores = [each.reduction for each in measured], [each.score for each in measured]
        return tuple(measured[number] for number in staircase(saved, scores))

    def tried(self, measured: Sequence[Measured]) -> tuple[Point, ...]:
        """Points of settings, the full model first."""
        full = self.point(self.full_searched)
        rest = [point for each in measured if (point := self.point(each)) != full]
        return (full, *rest)

    def evaluate(self, thresholds: Mapping[str, float]) -> Point:
        """Thresholds on the search's half, as a search asks for them."""
        return self.point(self.searched(Setting(dict(thresholds))))

    def searched(self, setting: Setting) -> Measured:
        """A setting on the search's half, measured once."""
        key = (tuple(setting.thresholds.items()), tuple(setting.decay.items()))
        if key not in self.memory:
            self.memory[key] = self.measure(setting, self.trials.halves.search)
        return self.memory[key]

    def finalist(self, searched: Measured) -> Finalist:
        """A setting of the search's half with the fresh one."""
        if not self.fresh:
            return Finalist(searched)
        if searched is self.full_searched:
            return Finalist(searched, self.full.of(self.fresh))
        return Finalist(searched).run(self.measure, self.fresh)

    def measure(self, setting: Setting, samples: Sequence[int]) -> Measured:
        """A setting on some samples, by number."""
        return self.trials.measure(setting, samples, self.spending)

    @cached_property
    def full_searched(self) -> Measured:
        """The full model on the search's half, as a setting that never leaves."""
        half = self.full.of(self.trials.halves.search)
        return replace(half, setting=Setting(self.settings[self.settings.full]))

    @property
    def fresh(self) -> Sequence[int]:
        """Samples that the search did not use, by number."""
        return self.trials.halves.fresh

    def drop(self, measured: Measured, full: Measured | None = None) -> float:
        """Relative fall of the score on the samples of `measured`."""
        whole = self.full.of(self.fresh or self.trials.halves.search) if full is None else full
        return 1.0 - measured.score / whole.score if whole.score > 0.0 else 0.0

    @staticmethod
    def point(measured: Measured) -> Point:
        """What the log of a calibration keeps of a setting."""
        setting = measured.setting
        return Point(
            dict(setting.thresholds), measured.score, measured.reduction, dict(setting.decay)
        )
