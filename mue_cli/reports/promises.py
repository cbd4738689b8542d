"""What calibrations promised and what was measured afterwards; the frontier one was made from."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

Interval = tuple[float, float]
Place = tuple[float, float]
"""Reduction, and score as a share of the full model's on the same samples."""


@dataclass(frozen=True)
class Promise:
    """One calibration and the evaluation of its thresholds on other samples.

    target: reduction that was wanted, None where only a drop was bounded. reduction: promised;
    score: promised, as a share of the full model's. interval: of the promised reduction, None of
    one picture.
    measured_reduction, measured_score: of the evaluation, in the same units. other_data: whether
    that was of other prepared data.
    """

    target: float | None
    reduction: float
    interval: Interval | None
    score: float
    measured_reduction: float
    measured_score: float
    certified: bool = False
    other_data: bool = False

    @property
    def gap(self) -> float:
        """How much more was saved than promised, as a fraction."""
        return self.measured_reduction - self.reduction


@dataclass(frozen=True)
class Promises:
    """All promises of a run that were put to the test. split: where they were measured."""

    promises: Sequence[Promise]
    metric: str
    split: str
    about: str


@dataclass(frozen=True)
class Frontier:
    """Settings of one calibration by what they save. tried: all of them, the full model first.
    best: those that no other beats. chosen: on the samples that judged it. num_samples: of the
    search. marks: reductions that other ways of leaving would give, by name.
    """

    tried: Sequence[Place]
    best: Sequence[Place]
    chosen: Place
    metric: str
    num_samples: int
    marks: Mapping[str, float] = field(default_factory=dict)
