"""Halving: settings near the best are measured again on samples the search did not use.

The best of many settings on few samples is partly luck. So the search's shortlist is run on fresh
samples, the better half of it on more, and so on. Settings are compared sample by sample with the
full model: the difference of two scores of one picture is far less noisy than either. What a
setting saves is judged on all samples it ran on, since nothing was picked for that.

The tie rule: settings whose mean difference lies within one standard error of the best one's (of
their own paired difference to it) cannot be told apart. Of those, the one that saves more wins; if
they save the same to a tenth of a percent, the steadier one.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from mue_cli.calibration.measured import Measured, Setting, standard_error

SHORTLIST = 8
SAME_REDUCTION = 0.001

Measure = Callable[[Setting, Sequence[int]], Measured]
"""Runs a setting on some samples, by number."""


@dataclass(frozen=True, eq=False)
class Finalist:
    """A setting on the samples of the search, and on fresh ones (None: there were none)."""

    searched: Measured
    fresh: Measured | None = None

    @property
    def judged(self) -> Measured:
        """The samples on which its score counts."""
        return self.searched if self.fresh is None else self.fresh

    @property
    def all(self) -> Measured:
        """Every sample it ran on."""
        return self.searched if self.fresh is None else self.searched.join(self.fresh)

    def run(self, measure: Measure, samples: Sequence[int]) -> "Finalist":
        """The finalist with more fresh samples."""
        more = measure(self.searched.setting, samples)
        return Finalist(self.searched, more if self.fresh is None else self.fresh.join(more))


@dataclass(frozen=True, eq=False)
class Chosen:
    """The winner. ties: how many settings could not be told apart from the best, itself included.
    met: whether it saves what was wanted.
    """

    finalist: Finalist
    ties: int
    met: bool


def rounds(samples: Sequence[int], num_settings: int) -> list[list[int]]:
    """Fresh samples of each round: half of them, half of the rest, and so on, until two settings
    are left for the last.
    """
    parts, rest = [], list(samples)
    for _ in range((max(num_settings, 2) - 1).bit_length() - 1):
        half = (len(rest) + 1) // 2
        parts.append(rest[:half])
        rest = rest[half:]
    return [part for part in (*parts, rest) if part]


def halve(
    shortlist: Sequence[Measured],
    measure: Measure,
    full: Measured,
    samples: Sequence[int],
    target: float,
) -> Chosen:
    """Choose among settings on fresh samples: of those that save at least `target` the best by the
    tie rule; when none does, the one that saves most.

    shortlist: as the search measured them. full: the full model on all samples, which `samples`
    number.
    """
    finalists, used = [Finalist(searched) for searched in shortlist], list[int]()
    parts = rounds(samples, len(shortlist))
    for number, part in enumerate(parts, start=1):
        used += part
        finalists = [finalist.run(measure, part) for finalist in finalists]
        if number < len(parts):
            ranked = sorted(finalists, key=lambda finalist: _rank(finalist, target))
            finalists = ranked[: (len(ranked) + 1) // 2]
    return choose(finalists, full.of(used) if used else None, target)


def choose(finalists: Sequence[Finalist], full: Measured | None, target: float) -> Chosen:
    """Apply the tie rule to settings measured on the same samples. full: on the samples where
    scores count; None leaves steadiness out.
    """
    enough = [each for each in finalists if each.all.reduction >= target]
    if not enough:
        return Chosen(max(finalists, key=lambda each: each.all.reduction), 1, met=False)
    best = max(enough, key=lambda each: (each.judged.score, each.all.reduction))
    ties = [each for each in enough if _cannot_be_told_apart(each, best)]

    def preference(each: Finalist) -> tuple[float, float]:
        unsteadiness = float((each.judged.scores - full.scores).std()) if full is not None else 0.0
        return round(each.all.reduction / SAME_REDUCTION), -unsteadiness

    return Chosen(max(ties, key=preference), len(ties), met=True)


def _cannot_be_told_apart(one: Finalist, best: Finalist) -> bool:
    differences = best.judged.scores - one.judged.scores
    mean = float(differences.mean())
    return mean <= 0.0 or mean <= standard_error(differences)


def _rank(finalist: Finalist, target: float) -> tuple[bool, float, float]:
    """Settings that save enough come first, by their score; then the others, by what they save."""
    reduction = finalist.all.reduction
    short = reduction < target
    return short, 0.0 if short else -finalist.judged.score, -reduction
