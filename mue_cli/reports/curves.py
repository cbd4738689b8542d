"""What a trade-off figure shows: the curve of every row, over seeds, and the settings that a search
tried.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, MissingStepError
from mue_cli.exits.catalogue import FULL, ORACLE
from mue_cli.reports import published
from mue_cli.reports.entries import Entry, check_alike
from mue_cli.reports.record import Record

_GRID = 101
"""Reductions at which the seeds of a line are compared, besides those of their points."""

Value = Callable[[Entry], float | None]
Points = Sequence[tuple[float, float]]


@dataclass(frozen=True)
class Search:
    """Every setting of one method that a calibration really ran.

    points: (expected reduction in [0, 1], score) of each. full_score: of the full model on the same
    samples.
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
    """One row, by rising reduction.

    line: over the reductions that all seeds cover, what they gave there; empty where they cover
    none together. points: (x, y) that were swept, of all seeds. calibrated: what tables show,
    nearly always one setting, averaged over seeds.
    """

    row: str
    line: Sequence[CurvePoint]
    points: Sequence[tuple[float, float]]
    calibrated: Sequence[CurvePoint]


def expected(entry: Entry) -> float:
    """Return an entry's expected time reduction (Eq. 14) in per cent."""
    return 100.0 * entry.record.costs["expected"]


def score(entry: Entry) -> float:
    """Return an entry's score as it is on the paper's own data, elsewhere in per cent of its seed's
    full model.
    """
    return _scale(entry) * entry.record.score


def _scale(entry: Entry) -> float:
    return 1.0 if is_paper_data(entry.record) else 100.0 / entry.full_score


def cost(name: str) -> Value:
    """Return the function that gives an entry's cost in per cent, None where it has none."""
    return lambda entry: 100.0 * entry.record.costs[name] if name in entry.record.costs else None


def curves(entries: Sequence[Entry], value: Value) -> list[Curve]:
    """Return the curve of every row that has values, in the order in which rows first come.

    Its line goes through what was swept, where nothing was through the settings that were
    calibrated.
    """
    lines = []
    for row in dict.fromkeys(entry.row for entry in entries):
        mine = [entry for entry in entries if entry.row == row]
        swept, calibrated = (
            _by_seed([entry for entry in mine if entry.swept is which], value)
            for which in (True, False)
        )
        if swept or calibrated:
            lines.append(
                Curve(
                    row,
                    _line(swept or calibrated),
                    sorted(point for seed in swept for point in seed),
                    _settings(calibrated),
                )
            )
    return lines


def num_seeds(entries: Sequence[Entry]) -> int:
    """Return over how many seeds the points are averaged: those of the row that has most."""
    return max(seeds_by_row(entries))


def seeds_by_row(entries: Sequence[Entry]) -> list[int]:
    """Return how many seeds each row has."""
    return [
        len({entry.seed for entry in entries if entry.row == row})
        for row in dict.fromkeys(entry.row for entry in entries)
    ]


def intervals(entries: Sequence[Entry]) -> dict[str, list[CurvePoint]]:
    """Return by row the scores of calibrated settings with their bootstrap intervals: of the
    difference to the full model, where records have it, since it is what matters here and far less
    noisy.

    Nothing for several seeds, whose spread says more, and for the oracle, whose score is the full
    model's.
    """
    points: dict[str, list[CurvePoint]] = {}
    for entry in entries if num_seeds(entries) == 1 else ():
        bounds = _bounds(entry, has_differences(entries))
        if bounds and not entry.swept and entry.row != ORACLE:
            low, high = (_scale(entry) * bound for bound in bounds)
            points.setdefault(entry.row, []).append(
                CurvePoint(Spread.of([expected(entry)]), Spread(score(entry), low, high))
            )
    return points


def has_differences(entries: Sequence[Entry]) -> bool:
    """Return whether records say how sure their difference to the full model is."""
    return any(entry.record.metric in entry.record.difference for entry in entries)


def _bounds(entry: Entry, of_difference: bool) -> tuple[float, float] | None:
    """Return the bounds of a score, or of what its difference leaves of the full model's."""
    record = entry.record
    if not of_difference:
        return record.confidence.get(record.metric)
    bounds = record.difference.get(record.metric)
    return bounds and (entry.full_score + bounds[0], entry.full_score + bounds[1])


def _by_seed(entries: Sequence[Entry], value: Value) -> list[Points]:
    """Return each seed's (reduction, value), by rising reduction; seeds without a value are left
    out.
    """
    seeds = []
    for seed in dict.fromkeys(entry.seed for entry in entries):
        pairs = [(expected(entry), value(entry)) for entry in entries if entry.seed == seed]
        seeds.append(sorted((x, y) for x, y in pairs if y is not None))
    return [points for points in seeds if points]


def _line(seeds: Sequence[Points]) -> list[CurvePoint]:
    """Join each seed's points, and compare the seeds at the same reductions; one seed's line is its
    points.
    """
    if len(seeds) == 1:
        return [CurvePoint(Spread.of([x]), Spread.of([y])) for x, y in seeds[0]]
    low, high = max(points[0][0] for points in seeds), min(points[-1][0] for points in seeds)
    if low >= high:
        return []
    corners = [x for points in seeds for x, _ in points if low <= x <= high]
    grid = np.union1d(np.linspace(low, high, _GRID), corners)
    values = np.array([np.interp(grid, *np.transpose(points)) for points in seeds])  # (seeds, grid)
    return [CurvePoint(Spread.of([x]), Spread.of(values[:, place])) for place, x in enumerate(grid)]


def _settings(seeds: Sequence[Points]) -> list[CurvePoint]:
    """Average over seeds where each has one setting; which of several belong together, nobody
    knows.
    """
    if all(len(points) == 1 for points in seeds):
        return (
            [
                CurvePoint(
                    *(
                        Spread.of(values)
                        for values in zip(*(points[0] for points in seeds), strict=True)
                    )
                )
            ]
            if seeds
            else []
        )
    return [
        CurvePoint(Spread.of([x]), Spread.of([y]))
        for x, y in sorted(point for points in seeds for point in points)
    ]


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (reduction, score) points that no other matches in both and beats in one, by
    rising reduction.
    """
    front: list[tuple[float, float]] = []
    for reduction, score in sorted(set(points), reverse=True):
        if not front or score > front[-1][1]:
            front.append((reduction, score))
    return front[::-1]


def is_paper_data(record: Record) -> bool:
    """Return whether the record's scores may stand beside the published ones as they are."""
    return published.is_paper_data(record.metric, record.dataset)


def drawable(entries: Sequence[Entry]) -> list[Entry]:
    """Return the entries that a trade-off figure shows: without variants, which Table 4 compares,
    and `seeds_without_full`.

    Raises MissingStepError when there are none or no seed has `full` to be relative to, DataError
    for records that cannot share a figure and for a full model that scores nothing.
    """
    kept = [entry for entry in entries if not entry.is_variant]
    if not kept:
        raise MissingStepError("there is no record to plot", "`mue evaluate` writes records")
    check_alike(kept, "figure")
    return kept if is_paper_data(kept[0].record) else _comparable(kept)


def seeds_without_full(entries: Sequence[Entry]) -> list[int]:
    """Return the seeds whose scores should be relative to a full model that was not evaluated."""
    lacking = {
        entry.seed for entry in entries if entry.full_score <= 0 and not is_paper_data(entry.record)
    }
    return sorted(lacking - {entry.seed for entry in entries if entry.row == FULL.name})


def _comparable(entries: Sequence[Entry]) -> list[Entry]:
    without = seeds_without_full(entries)
    comparable = [entry for entry in entries if entry.seed not in without]
    if not comparable:
        raise MissingStepError(
            "there is no record of `full` to compare with",
            "evaluate the method `full` on the same split first",
        )
    lowest = min(entry.full_score for entry in comparable)
    if lowest <= 0:
        raise DataError(
            f"the full model scores {lowest:g}: nothing can be relative to that",
            "train it for longer",
        )
    return comparable
