"""What a trade-off figure shows: the curve of every row, over seeds, and the settings that a search tried."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.entries import Entry
from mue_cli.reports.published import DATASETS
from mue_cli.reports.record import Record

UPPER_BOUND = "oracle"
LEFT_OUT = ("mue-joint", "mue-last")
"""Rows that ask what a part of MuE is good for: a table shows them, not a figure of all methods."""

Value = Callable[[Entry], float | None]


@dataclass(frozen=True)
class Search:
    """Every setting of one method that a calibration really ran.

    points: (expected reduction in [0, 1], score) of each. full_score: of the full model on the same samples.
    """

    method: str
    split: str
    num_samples: int
    full_score: float
    points: Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Spread:
    """What seeds gave for the same point: their mean, the lowest and the highest."""

    mean: float
    low: float
    high: float

    @classmethod
    def of(cls, values: Sequence[float] | NDArray[np.float64]) -> "Spread":
        return cls(float(np.mean(values)), float(np.min(values)), float(np.max(values)))


@dataclass(frozen=True)
class CurvePoint:
    """x: expected time reduction. y: what is drawn against it."""

    x: Spread
    y: Spread


@dataclass(frozen=True)
class Curve:
    """One row's points by rising reduction. swept: over its own threshold. calibrated: what tables show, nearly always one point."""

    row: str
    swept: Sequence[CurvePoint]
    calibrated: Sequence[CurvePoint]

    @property
    def line(self) -> Sequence[CurvePoint]:
        """The points that a line goes through: those of a sweep, where there is none the settings that were calibrated."""
        return self.swept or self.calibrated


def expected(entry: Entry) -> float:
    """Return an entry's expected time reduction (Eq. 14) in per cent."""
    return 100.0 * entry.record.costs["expected"]


def score(entry: Entry) -> float:
    """Return an entry's score as it is on the paper's own data, elsewhere in per cent of its seed's full model."""
    return _scale(entry) * entry.record.score


def _scale(entry: Entry) -> float:
    return 1.0 if is_paper_data(entry.record) else 100.0 / entry.full_score


def cost(name: str) -> Value:
    """Return the function that gives an entry's cost in per cent, None where it has none."""
    return lambda entry: 100.0 * entry.record.costs[name] if name in entry.record.costs else None


def curves(entries: Sequence[Entry], value: Value) -> list[Curve]:
    """Return the curve of every row that has values, in the order in which rows first come."""
    found = []
    for row in dict.fromkeys(entry.row for entry in entries):
        mine = [entry for entry in entries if entry.row == row]
        points = [_points([entry for entry in mine if entry.swept is swept], value) for swept in (True, False)]
        if any(points):
            found.append(Curve(row, *points))
    return found


def num_seeds(entries: Sequence[Entry]) -> int:
    """Return over how many seeds the points are averaged: those of the row that has most."""
    return max(seeds_by_row(entries))


def seeds_by_row(entries: Sequence[Entry]) -> list[int]:
    """Return how many seeds each row has."""
    return [len({entry.seed for entry in entries if entry.row == row}) for row in dict.fromkeys(entry.row for entry in entries)]


def intervals(entries: Sequence[Entry]) -> dict[str, list[CurvePoint]]:
    """Return by row the scores of calibrated settings with their bootstrap intervals; nothing for several seeds, whose spread says more."""
    found: dict[str, list[CurvePoint]] = {}
    for entry in entries if num_seeds(entries) == 1 else ():
        bounds = entry.record.confidence.get(entry.record.metric)
        if bounds and not entry.swept:
            low, high = (_scale(entry) * bound for bound in bounds)
            found.setdefault(entry.row, []).append(CurvePoint(Spread.of([expected(entry)]), Spread(score(entry), low, high)))
    return found


def _points(entries: Sequence[Entry], value: Value) -> list[CurvePoint]:
    """Average the points of the same rank over seeds; where seeds have unequally many, at evenly spaced ranks of as many as the fewest."""
    seeds = []
    for seed in dict.fromkeys(entry.seed for entry in entries):
        pairs = [(expected(entry), value(entry)) for entry in entries if entry.seed == seed]
        kept = sorted((x, y) for x, y in pairs if y is not None)
        if kept:
            seeds.append(np.array(kept, dtype=float))
    if not seeds:
        return []
    fewest = min(map(len, seeds))
    alike = np.array([_at_ranks(points, fewest) for points in seeds])  # (seeds, ranks, 2)
    return [CurvePoint(Spread.of(alike[:, rank, 0]), Spread.of(alike[:, rank, 1])) for rank in range(fewest)]


def _at_ranks(points: NDArray[np.float64], count: int) -> NDArray[np.float64]:
    ranks = np.linspace(0, len(points) - 1, count)
    return np.column_stack([np.interp(ranks, np.arange(len(points)), points[:, axis]) for axis in (0, 1)])


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (reduction, score) points that no other matches in both and beats in one, by rising reduction."""
    front: list[tuple[float, float]] = []
    for reduction, score in sorted(set(points), reverse=True):
        if not front or score > front[-1][1]:
            front.append((reduction, score))
    return front[::-1]


def is_paper_data(record: Record) -> bool:
    """Return whether the record's scores may stand beside the published ones as they are."""
    return DATASETS.get(record.task) == record.dataset


def drawable(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that a trade-off figure shows.

    Raises MissingStepError when there are none or `full` is missing to be relative to, DataError for records that cannot share a figure and
    for a full model that scores nothing.
    """
    kept = [entry for entry in entries if entry.row not in LEFT_OUT]
    if not kept:
        raise MissingStepError("there is no record to plot", "`mue evaluate` writes records")
    for name in ("task", "dataset", "split", "metric"):
        values = sorted({str(getattr(entry.record, name)) for entry in kept})
        if len(values) > 1:
            raise DataError(f"records of different {name}s cannot share a figure: {', '.join(values)}", "plot them one by one")
    if not is_paper_data(kept[0].record):
        _check_full_scores(kept)
    return kept


def _check_full_scores(entries: Sequence[Entry]) -> None:
    lowest = min(entry.full_score for entry in entries)
    if lowest > 0:
        return
    if not any(entry.row == "full" for entry in entries):
        raise MissingStepError("there is no record of `full` to compare with", "evaluate the method `full` on the same split first")
    raise DataError(f"the full model scores {lowest:g}: nothing can be relative to that", "train it for longer")
