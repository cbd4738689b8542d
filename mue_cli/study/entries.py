"""The evaluated points of a run, or of its study, as rows of the paper's tables."""

import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from mue_cli.cost.reduction import costs_against
from mue_cli.errors import MissingStepError
from mue_cli.reports.entries import Entry
from mue_cli.reports.record import Record
from mue_cli.runs import Run, records
from mue_cli.study.file import kept, seeds, trained_run
from mue_cli.study.parts import FULL, Row, Settings, Study

SWEEP = "sweep"
"""Setting of a record that is a point of a trade-off curve."""
STREAMS = ("image", "text", "joint", "decoder")
"""Fields of the recipe's exits that a record keeps as its thresholds."""


def entries(run: Run, split: str) -> list[Entry]:
    """Return the evaluated points of a run's study, all rows and seeds; without a study, the newest of each method and setting.

    Raises MissingStepError before the first evaluation.
    """
    study = kept(run)
    if study is not None:
        return _study_entries(study, run, split)
    newest = _newest(record for record in records(run) if record.split == split)
    full = next((record.score for record in reversed(newest) if record.method == FULL), 0.0)
    return [Entry(record.method, record.seed, _is_swept(record), record, full) for record in newest]


def row_records(run: Run, seed: int, row: Row, split: str) -> list[Record]:
    """Return what a row was evaluated to: its newest record, then the newest curve. Empty before that.

    A curve is the swept records that follow the record of their evaluation: curves of two evaluations are never mixed.
    """
    here = trained_run(run, seed, row.folder)
    newest: list[Record] = []
    curve: list[Record] = []
    points: list[Record] | None = None
    for record in records(here) if here.records.exists() else []:
        if (record.split, record.method) != (split, row.method):
            continue
        if not _is_swept(record):
            points = [] if _fits(record, row.settings) else None
            newest = newest if points is None else [record]
        elif points is not None:
            points.append(record)
            curve = points
    return newest + curve


def against_full(record: Record, full: Record) -> Record:
    """Return the record of a model of another depth than the full one with reductions against that one; any other as it is."""
    depth, full_depth = ([each.costs.get(f"num_{stack}_layers") for stack in ("encoder", "decoder")] for each in (record, full))
    return record if depth == full_depth else replace(record, costs=costs_against(record.costs, full.costs))


def _study_entries(study: Study, run: Run, split: str) -> list[Entry]:
    folders = {row.folder for row in study.rows.values()}
    if not any(trained_run(run, seed, folder).records.exists() for seed in seeds(run) for folder in folders):
        hint = f"run: {shlex.join(['mue', 'study', study.name, '--run', str(run.folder)])}"
        raise MissingStepError(f"no row of the study in `{run.study}` was evaluated", hint)
    return [entry for seed in seeds(run) for entry in _seed_entries(study, run, seed, split)]


def _seed_entries(study: Study, run: Run, seed: int, split: str) -> Iterator[Entry]:
    full = next(iter(row_records(run, seed, study.rows[FULL], split)), None)
    for name, row in study.rows.items():
        for record in row_records(run, seed, row, split):
            if full is not None:
                yield Entry(name, seed, _is_swept(record), against_full(record, full), full.score)
            elif record.method != FULL:  # a smaller model's reductions are nothing without the full one
                yield Entry(name, seed, _is_swept(record), record, 0.0)


def _is_swept(record: Record) -> bool:
    return bool(record.settings.get(SWEEP))


def _newest(found: Iterable[Record]) -> list[Record]:
    """Keep the last record of each method and setting: an evaluation that was repeated is one point."""
    return list({(record.method, repr(record.settings)): record for record in found}.values())


def _fits(record: Record, settings: Settings) -> bool:
    """Whether a record can be of a row's settings; one that it does not state is no obstacle."""
    return all(_stated(record, key.removeprefix("exits."), value) == value for key, value in settings.items())


def _stated(record: Record, name: str, default: object) -> object:
    """Return what a record says of a field of the recipe's exits: thresholds and exit layers stand together, all else by itself."""
    values = record.settings.get("thresholds") if name in STREAMS else record.settings
    return values.get(name, default) if isinstance(values, Mapping) else default
