"""The paper's Tables 1, 3 and 4 with rows of our own: ours to the left, what the paper printed to
the right.

A row is one setting over the seeds it was trained with. Scores are as papers print them, reductions
are fractions against `full`.
"""

import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, zip_longest

from mue_cli.exits.catalogue import CALM, FULL, MUE, ORACLE, STATIC
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.entries import Entry, other_full, row_title
from mue_cli.reports.published import (
    FULL_MODEL,
    PublishedRow,
    PublishedTask,
    is_paper_data,
    published,
    source,
)
from mue_cli.reports.tables import Cell, Column, Estimate, Table, depth, without_empty

SUBJECTS = {
    1: "the models",
    2: "layers of each stream",
    3: "the trade-off of MuE",
    4: "the ablation of MuE",
}
"""What each table is about."""

_OURS = (STATIC.name, CALM.name, ORACLE)
"""Rows of Table 1 that the paper does not have."""
_PAPER = "paper"


@dataclass(frozen=True)
class _Line:
    """One line of a table. entries: one per seed, none where it was not run. published: the
    paper's line.
    """

    name: str | None
    entries: Sequence[Entry] = ()
    published: PublishedRow | None = None


def missing_rows(number: int, entries: Sequence[Entry]) -> list[str]:
    """Return the rows of a table that were not run yet, in its order: those that the paper has for
    this task, and those that only we have.
    """
    wanted = _wanted(_paper(entries))[number]
    missing = [row for row in wanted if not _unswept(entries, row)]
    curve = number == 3 and not any(entry.row == MUE.name and entry.swept for entry in entries)
    return [*missing, *([f"the curve of {MUE.name}"] if curve else [])]


def models_table(entries: Sequence[Entry]) -> Table:
    """Return Table 1: the paper's models in its order, those that only we have, and rows that no
    table knows.
    """
    paper = _paper(entries)
    printed = {row.row: row for row in paper.table_1}
    wanted = _wanted(paper)
    unknown = [
        entry.row
        for entry in entries
        if not entry.is_variant and entry.row not in chain(*wanted.values())
    ]
    lines = [
        _Line(row_title(row), _unswept(entries, row), printed.get(row))
        for row in dict.fromkeys((*wanted[1], *unknown))
    ]
    return _compared(lines, entries, 1)


def tradeoff_table(entries: Sequence[Entry]) -> Table:
    """Return Table 3: `full` and MuE's settings by rising reduction, the paper's beside them, which
    are others.
    """
    mine = [entry for entry in entries if entry.row == MUE.name]
    points = [
        _Line(MUE.title, group) for group in _by_setting(entry for entry in mine if not entry.swept)
    ]
    points += [
        _Line(f"{MUE.title}, swept", group)
        for group in _by_point(entry for entry in mine if entry.swept)
    ]
    points.sort(
        key=lambda line: statistics.mean(entry.record.costs["expected"] for entry in line.entries)
    )
    full, *others = _paper(entries).table_3
    pairs = zip_longest(points, others)
    lines = [
        _Line(ours.name if ours else None, ours.entries if ours else (), theirs)
        for ours, theirs in pairs
    ]
    beside = (
        "In one line, our setting of MuE and the paper's are not the same: both go by rising "
        "reduction."
    )
    return _compared(
        [_Line(row_title(FULL.name), _unswept(entries, FULL.name), full), *lines],
        entries,
        3,
        beside,
    )


def ablation_table(entries: Sequence[Entry]) -> Table:
    """Return Table 4: MuE, without decomposition, without the layer-wise loss, and the variants
    that only we have.
    """
    printed = {row.row: row for row in _paper(entries).table_4}
    variants = dict.fromkeys([*printed, *(entry.row for entry in entries if entry.is_variant)])
    lines = [_Line(row_title(row), _unswept(entries, row), printed.get(row)) for row in variants]
    return _compared(lines, entries, 4)


PAPER_TABLES: Mapping[int, Callable[[Sequence[Entry]], Table]] = {
    1: models_table,
    3: tradeoff_table,
    4: ablation_table,
}
"""Tables that are made of entries. Table 2 is made of a grid (`layers_table.py`)."""


def estimate(values: Sequence[float], bounds: tuple[float, float] | None = None) -> Estimate | None:
    """Return mean and sample standard deviation of one value per seed, None without any. bounds: of
    a single one.
    """
    if len(values) < 2:
        return Estimate(values[0], None, bounds) if values else None
    return Estimate(statistics.fmean(values), statistics.stdev(values))


def _paper(entries: Sequence[Entry]) -> PublishedTask:
    return published(entries[0].record.metric)


def _wanted(paper: PublishedTask) -> Mapping[int, Sequence[str]]:
    """Return the rows of each table, in its order."""
    models, ablation = ([row.row for row in table] for table in (paper.table_1, paper.table_4))
    return {1: (*models, *_OURS), 3: (FULL.name, MUE.name), 4: ablation}


def _unswept(entries: Iterable[Entry], row: str) -> list[Entry]:
    """Return the row's last entry of each seed that no sweep made."""
    return list(
        {entry.seed: entry for entry in entries if entry.row == row and not entry.swept}.values()
    )


def _by_setting(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the first setting of every seed, then the second of every seed, and so on."""
    of_seed: dict[int, list[Entry]] = {}
    for entry in entries:
        of_seed.setdefault(entry.seed, []).append(entry)
    return [
        [entry for entry in group if entry is not None] for group in zip_longest(*of_seed.values())
    ]


def _by_point(entries: Iterable[Entry]) -> list[list[Entry]]:
    """Return the entries of each point of the curve, which not every seed may have reached."""
    of_point: dict[float | None, list[Entry]] = {}
    for entry in entries:
        of_point.setdefault(entry.point, []).append(entry)
    return list(of_point.values())


def _compared(lines: Sequence[_Line], entries: Sequence[Entry], number: int, *notes: str) -> Table:
    """Return one row per line that either side knows; columns that nobody fills are left out."""
    paper = _paper(entries)
    columns = [*_own_columns(paper), *_paper_columns(paper, entries[0].record.split)]
    lines = [line for line in lines if line.entries or line.published]
    rows = tuple(tuple(value(line) for _, value in columns) for line in lines)
    others = other_full([entry for line in lines for entry in line.entries])
    caption = (*_own_caption(lines), *others, *notes, _paper_caption(entries, number))
    return without_empty(Table(tuple(column for column, _ in columns), rows, caption))


def _own_columns(paper: PublishedTask) -> list[tuple[Column, Callable[[_Line], Cell]]]:
    costs = (("expected", "expected"), ("FLOPs", "flops"), ("measured", "measured"))
    return [
        (Column("model"), lambda line: line.name),
        (Column("layers"), lambda line: depth(line.entries[0].record) if line.entries else None),
        *((Column(metric, ".1f"), _score(metric)) for metric in paper.metrics),
        (Column("of full", "z.1%"), _of_full),
        *((Column(name, "z.1%"), _cost(cost)) for name, cost in costs),
        (Column("seeds", "d"), lambda line: len(line.entries) or None),
    ]


def _paper_columns(
    paper: PublishedTask, split: str
) -> list[tuple[Column, Callable[[_Line], Cell]]]:
    judged = paper.judged(split)
    full = paper.table_1[0].scores
    return [
        (
            Column("model", group=_PAPER),
            lambda line: line.published.model if line.published else None,
        ),
        *((Column(metric, ".1f", _PAPER), _published(metric)) for metric in full),
        (Column("of full", ".1%", _PAPER), _published(judged, 1 / full[judged])),
        (
            Column("reduction", ".1%", _PAPER),
            lambda line: line.published.reduction if line.published else None,
        ),
    ]


def _score(metric: str) -> Callable[[_Line], Cell]:
    def value(line: _Line) -> Cell:
        records = [entry.record for entry in line.entries if metric in entry.record.scores]
        return estimate(
            [record.scores[metric] for record in records],
            records[0].confidence.get(metric) if records else None,
        )

    return value


def _cost(name: str) -> Callable[[_Line], Cell]:
    return lambda line: estimate(
        [entry.record.costs[name] for entry in line.entries if name in entry.record.costs]
    )


def _of_full(line: _Line) -> Cell:
    return estimate(
        [entry.record.score / entry.full_score for entry in line.entries if entry.full_score > 0]
    )


def _published(metric: str, scale: float = 1.0) -> Callable[[_Line], Cell]:
    def value(line: _Line) -> Cell:
        return (
            scale * line.published.scores[metric]
            if line.published and metric in line.published.scores
            else None
        )

    return value


def _own_caption(lines: Sequence[_Line]) -> list[str]:
    """Return whose numbers ours are: data, samples, seeds; nothing when no row was run."""
    entries = [entry for line in lines for entry in line.entries]
    if not entries:
        return []
    first = entries[0].record
    seeds = sorted({entry.seed for entry in entries})
    over = (
        f"seeds {', '.join(map(str, seeds))}: mean ± sample standard deviation"
        if len(seeds) > 1
        else f"seed {seeds[0]}"
    )
    samples = samples_in_words(entry.record.num_samples for entry in entries)
    return [
        f"Ours: {first.dataset} {first.split}, {samples}, {over}.",
        f"of full: {first.metric} over the full model's of the same seed.",
        "expected: layers saved (Eq. 14). FLOPs, measured: operations and time saved.",
        "All are against the same weights at full depth; those of another full model, such as "
        "`small`, against `full`.",
    ]


def _paper_caption(entries: Sequence[Entry], number: int) -> str:
    """Return whose the paper's numbers are, and whether ours may stand beside them."""
    first = entries[0].record
    on = _paper(entries).data_name
    of = f"Paper ({source(number)}): {FULL_MODEL} on {on}, reduction by Eq. 14"
    if is_paper_data(first.metric, first.dataset):
        return f"{of}."
    other = "other data and another model than ours, so compare `of full`, not the scores"
    return f"{of}: {other}."
