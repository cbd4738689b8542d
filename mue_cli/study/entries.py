"""The evaluated points of a run, or of its study, as rows of the paper's tables."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace

from mue_cli.cost.reduction import costs_against
from mue_cli.errors import MissingStepError
from mue_cli.experiment.run_folder import Run, records
from mue_cli.recipe.recipe import Recipe
from mue_cli.reports.entries import Entry
from mue_cli.reports.record import SWEEP, Record
from mue_cli.study.file import journal, kept, seeds, study_command, trained_run
from mue_cli.study.parts import FULL, SPLIT, Study

SHARED_WITH_FULL = ("search", "precision", "weights", "decompose")
"""Settings that the full model must share with a record whose score is relative to it."""


@dataclass(frozen=True)
class Evaluation:
    """record: of a setting of its own. curve: the swept records that followed it; curves of two
    evaluations are never mixed.
    """

    record: Record
    curve: list[Record] = field(default_factory=list)


def need(run: Run, split: str) -> list[Entry]:
    """Return the entries of a split. Raises MissingStepError, naming the command, when there are
    none.
    """
    found = entries(run, split)
    if found:
        return found
    hint = f"run: {run.command('evaluate')} --split {split}"
    if kept(run) is not None:
        hint = (
            f"run: {study_command(run)}"
            if split == SPLIT
            else f"a study evaluates the split {SPLIT}: leave out --split"
        )
    raise MissingStepError(f"no record of the split `{split}` in `{run.folder}`", hint)


def entries(run: Run, split: str) -> list[Entry]:
    """Return the evaluated points of a run's study, all rows and seeds; without a study, the run's
    own.

    Raises MissingStepError before the first evaluation.
    """
    study = kept(run)
    return own_entries(run, split) if study is None else _study_entries(study, run, split)


def own_entries(run: Run, split: str) -> list[Entry]:
    """Return the newest record of each method and setting, with the newest curve of each method;
    whatever study the run has.

    Raises MissingStepError before the first evaluation.
    """
    found = [record for record in records(run) if record.split == split]
    fulls = [record for record in reversed(found) if record.method == FULL]
    return [
        _entry(
            record.method,
            record.seed,
            record,
            next((full.score for full in fulls if _alike(full, record)), 0.0),
        )
        for method in dict.fromkeys(record.method for record in found)
        for record in _newest(_evaluations(record for record in found if record.method == method))
    ]


def row_records(study: Study, run: Run, seed: int, name: str, split: str = SPLIT) -> list[Record]:
    """Return what a row was evaluated to: its newest record, then the newest curve. Empty before
    that.

    Others may have evaluated the same method there too; the row's own evaluation is the one that
    the seed's journal tells of.
    """
    row = study.rows[name]
    here = trained_run(run, seed, row.folder)
    found = [
        record for record in _records(here) if (record.split, record.method) == (split, row.method)
    ]
    is_own = _is_own(study, run, seed, name)
    own = [each for each in _evaluations(found) if is_own(each.record)]
    largest = max(
        (each.record.num_samples for each in own), default=0
    )  # a split may have fewer than the recipe allows
    own = [each for each in own if each.record.num_samples == largest]
    return [each.record for each in own[-1:]] + _curve(own)


def evaluated(here: Run, method: str) -> dict[str, object] | None:
    """Return what a journal keeps of the newest evaluation of a method, which tells its record from
    others; None before the first.
    """
    mine = [
        record
        for record in _records(here)
        if (record.split, record.method) == (SPLIT, method) and SWEEP not in record.settings
    ]
    return (
        {"num_samples": mine[-1].num_samples, "settings": dict(mine[-1].settings)} if mine else None
    )


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
    return [entry for seed in seeds(run) for entry in _seed_entries(study, run, seed, split)]


def _seed_entries(study: Study, run: Run, seed: int, split: str) -> Iterator[Entry]:
    full = next(iter(row_records(study, run, seed, FULL, split)), None)
    for name in study.rows:
        for record in row_records(study, run, seed, name, split):
            if full is not None:
                yield _entry(
                    name, seed, record if name == FULL else against_full(record, full), full.score
                )
            elif (
                record.method != FULL
            ):  # a smaller model's reductions are nothing without the full one
                yield _entry(name, seed, record, 0.0)


def _entry(row: str, seed: int, record: Record, full_score: float) -> Entry:
    point = record.settings.get(SWEEP)
    return Entry(
        row, seed, float(point) if isinstance(point, int | float) else None, record, full_score
    )


def _records(here: Run) -> list[Record]:
    return records(here) if here.records.exists() else []


def _evaluations(found: Iterable[Record]) -> list[Evaluation]:
    """Group the records of one method on one split, oldest first."""
    evaluations: list[Evaluation] = []
    for record in found:
        if SWEEP not in record.settings:
            evaluations.append(Evaluation(record))
        elif evaluations:
            evaluations[-1].curve.append(record)
    return evaluations


def _newest(evaluations: Sequence[Evaluation]) -> list[Record]:
    """Return the last record of each setting, the newest at the end, then the newest curve."""
    found: dict[str, Evaluation] = {}
    for each in evaluations:
        found.pop(repr(each.record.settings), None)
        found[repr(each.record.settings)] = each
    return [each.record for each in found.values()] + _curve(evaluations)


def _curve(evaluations: Sequence[Evaluation]) -> list[Record]:
    return next((each.curve for each in reversed(evaluations) if each.curve), [])


def _alike(full: Record, record: Record) -> bool:
    """Whether two records differ in the method alone."""
    settings = all(
        full.settings.get(name) == record.settings.get(name) for name in SHARED_WITH_FULL
    )
    return settings and full.num_samples == record.num_samples


def _is_own(study: Study, run: Run, seed: int, name: str) -> Callable[[Record], bool]:
    """Return the function that knows the records of a row's own evaluation."""
    note = journal(run, seed).notes().get(f"row {name}")
    if isinstance(note, Mapping):
        return lambda record: _was_noted(record, note.get("record"))
    # Nothing was noted, or nothing but the lines.
    row = study.rows[name]
    recipe, decompose = (
        study.changed_recipe(row.settings),
        study.changed_recipe(study.folders[row.folder].settings).model.decompose,
    )
    return lambda record: _fits(record, recipe, decompose)


def _was_noted(record: Record, noted: object) -> bool:
    if not isinstance(noted, Mapping) or noted.get("settings") != record.settings:
        return False
    return record.split != SPLIT or noted.get("num_samples") == record.num_samples


def _fits(record: Record, recipe: Recipe, decompose: bool) -> bool:
    """Whether a record can be of a row's recipe; what it does not state is no obstacle."""
    thresholds = record.settings.get("thresholds")
    stated = {**record.settings, **(thresholds if isinstance(thresholds, Mapping) else {})}
    shared = {
        "precision": recipe.inference.precision,
        "search": asdict(recipe.search),
        "decompose": decompose,
        "weights": None,
    }
    wanted = shared | {
        key: value for key, value in asdict(recipe.exits).items() if value is not None
    }
    enough = recipe.evaluation.samples is None or record.num_samples <= recipe.evaluation.samples
    return enough and all(stated.get(key, value) == value for key, value in wanted.items())
