"""What a setting did on some samples, and how sure the figures are.

Letters: n samples, P parts of a cost, Z resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from mue_cli.calibration.bootstrap import Interval, middle, resampled
from mue_cli.calibration.candidates import Array


@dataclass(frozen=True)
class Setting:
    """Thresholds by stream. decay: Eq. 11's settings where they are searched too, else empty."""

    thresholds: Mapping[str, float]
    decay: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False)
class Measured:
    """A setting on n samples. scores: (n,), each sample's own. spent, whole: (n, P), what each
    sample cost under the setting and under the full model.

    Eq. 14 has two parts: encoder layers (as fractions; whole: 1) and decoder layers (as fractions,
    over the sample's words; whole: its words). FLOPs and milliseconds have one.
    """

    setting: Setting
    scores: Array
    spent: Array
    whole: Array

    @property
    def score(self) -> float:
        return float(self.scores.mean())

    @cached_property
    def reduction(self) -> float:
        """1 - mean over the parts of all that was spent over all that the full model spends."""
        return 1.0 - float((self.spent.sum(axis=0) / self.whole.sum(axis=0)).mean())

    def of(self, samples: Sequence[int] | Array) -> "Measured":
        """The same setting on some of the samples, by number or flag."""
        index = np.asarray(samples)
        return Measured(self.setting, self.scores[index], self.spent[index], self.whole[index])

    def join(self, other: "Measured") -> "Measured":
        """The same setting on these samples and on others."""
        return Measured(
            self.setting,
            np.concatenate([self.scores, other.scores]),
            np.concatenate([self.spent, other.spent]),
            np.concatenate([self.whole, other.whole]),
        )


@dataclass(frozen=True)
class Intervals:
    """95 % intervals over pictures. difference: of the score, to the full model's on the same
    samples. None, all three, below two pictures.
    """

    reduction: Interval | None = None
    score: Interval | None = None
    difference: Interval | None = None


def intervals(measured: Measured, full: Measured, groups: Sequence[str] | None = None) -> Intervals:
    """Percentile bootstrap (Efron, 1979) over samples, paired: a resample draws the same samples of
    both. The same every time.

    The samples' own scores are fixed (CIDEr-D: with the document frequencies of all of them), so
    that a resample's score is a mean. groups: (n,), which samples (questions about one picture) are
    drawn together.
    """
    columns = np.column_stack([
        np.ones(len(measured.scores)), measured.scores, full.scores, measured.spent, measured.whole,
    ])  # fmt: skip
    sums = resampled(columns, groups)  # (Z, 3 + 2 P)
    if sums is None:
        return Intervals()
    score, full_score = sums[:, 1] / sums[:, 0], sums[:, 2] / sums[:, 0]
    num_parts = measured.spent.shape[1]
    parts = sums[:, 3 : 3 + num_parts] / sums[:, 3 + num_parts :]
    return Intervals(middle(1.0 - parts.mean(axis=1)), middle(score), middle(score - full_score))


def standard_error(differences: Array) -> float:
    """Standard error of the mean of paired differences; infinite for one sample."""
    if len(differences) < 2:
        return float("inf")
    return float(differences.std(ddof=1) / np.sqrt(len(differences)))
