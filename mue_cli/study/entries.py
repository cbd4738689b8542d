"""The evaluated points of a run, or of its study, as rows of the paper's tables."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from mue_cli.cost.reduction import costs_against
from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run, records
from mue_cli.reports.entries import Entry
from mue_cli.reports.inputs import same_setting
from mue_cli.reports.record import Record
from mue_cli.study.file import journal, kept, seeds, study_command, trained_run
from mue_cli.study.parts import FULL, SPLIT, Study
from mue_cli.study.stale import stale


def need(run: Run, split: str) -> list[Entry]:
    """Return the entries of a split. Raises MissingStepError, naming the command, when there are
    none.
    """
    evaluated = entries(run, split)
    if evaluated:
        return evaluated
    hint = f"run: {run.command('evaluate')} --split {split}"
    if kept(run) is not None:
        hint = (
            f"run: {study_command(run)}"
            if split == SPLIT
            else f"a study evaluates the split {SPLIT}: leave out --split"
        )
    raise MissingStepError(f"no record of the split `{split}` in `{run.folder}`", hint)


def entries(run: Run, split: str) -> list[Entry]:
    """Return the evaluated points of a run's study, all rows and seeds but those that are left out
    as `stale`; without a study, the run's own.

    Raises MissingStepError before the first evaluation.
    """
    study = kept(run)
    return own_entries(run, split) if study is None else _study_entries(study, run, split)


def own_entries(run: Run, split: str) -> list[Entry]:
    """Return the newest record of each method and setting, with the newest curve of each method;
    whatever study the run has.

    Raises MissingStepError before the first evaluation.
    """
    here = [record for record in records(run) if record.split == split]
    full_scores = {record.id: record.score for record in here if record.method == FULL}
    return [
        _entry(record.method, record.seed, record, full_scores.get(record.id, 0.0))
        for method in dict.fromkeys(record.method for record in here)
        for record in _newest([record for record in here if record.method == method])
    ]


def row_records(study: Study, run: Run, seed: int, name: str, split: str = SPLIT) -> list[Record]:
    """Return the newest evaluation of a row: its record, then its curve. Empty before that, and
    while the row is evaluated anew.
    """
    row = study.rows[name]
    mine = [
        record
        for record in _records(trained_run(run, seed, row.folder))
        if (record.row, record.split, record.method) == (name, split, row.method)
    ]
    newest = mine[-1].id if mine else None
    note = journal(run, seed).notes().get(f"row {name}")
    if split == SPLIT and isinstance(note, Mapping):
        newest = note.get("evaluated")
    return [record for record in mine if record.id == newest]


def newest_evaluation(run: Run, row: str) -> str | None:
    """Return the id of the last evaluation of a row in its folder, None before the first."""
    mine = [record.id for record in _records(run) if (record.row, record.split) == (row, SPLIT)]
    return mine[-1] if mine else None


def against_full(record: Record, full: Record) -> Record:
    """Return the record of another full model, or one of another depth, with reductions against the
    full one; any other as it is.
    """
    depth, full_depth = (
        [each.costs.get(f"num_{stack}_layers") for stack in ("encoder", "decoder")]
        for each in (record, full)
    )
    if record.method != FULL and depth == full_depth:
        return record
    return replace(record, costs=costs_against(record.costs, full.costs))


def _study_entries(study: Study, run: Run, split: str) -> list[Entry]:
    folders = {row.folder for row in study.rows.values()}
    if not any(
        trained_run(run, seed, folder).records.exists() for seed in seeds(run) for folder in folders
    ):
        raise MissingStepError(
            f"no row of the study in `{run.study}` was evaluated", f"run: {study_command(run)}"
        )
    old = {(each.row, each.seed) for each in stale(run, split) if each.left_out}
    return [
        entry
        for seed in seeds(run)
        for entry in _seed_entries(
            {
                name: row_records(study, run, seed, name, split)
                for name in study.rows
                if (name, seed) not in old
            },
            seed,
        )
    ]


def _seed_entries(rows: Mapping[str, list[Record]], seed: int) -> Iterator[Entry]:
    full = next(iter(rows.get(FULL, ())), None)
    for name, evaluated in rows.items():
        for record in evaluated:
            if full is not None:
                own = record if name == FULL else against_full(record, full)
                yield _entry(name, seed, own, full.score)
            elif record.method != FULL:
                # A smaller model's reductions are nothing without the full one.
                yield _entry(name, seed, record, 0.0)


def _entry(row: str, seed: int, record: Record, full_score: float) -> Entry:
    return Entry(row, seed, record, full_score)


def _records(here: Run) -> list[Record]:
    return records(here) if here.records.exists() else []


def _newest(mine: Sequence[Record]) -> list[Record]:
    """Return the last record of each setting, the newest at the end, then the newest curve."""
    chosen: list[Record] = []
    for record in mine:
        if record.point is None:
            others = (each for each in chosen if not same_setting(each.settings, record.settings))
            chosen = [*others, record]
    swept = [record for record in mine if record.point is not None]
    curve = [record for record in swept if record.id == swept[-1].id]
    return [*chosen, *curve]
