"""The evaluated points that a trade-off figure draws: of a study, or of a run alone."""

from collections.abc import Sequence
from dataclasses import replace

from mue_cli.errors import DataError, MissingStepError
from mue_cli.exits.catalogue import MUE
from mue_cli.experiment.promises import conditions_in
from mue_cli.experiment.run_folder import Run, read_tried
from mue_cli.experiment.thresholds import Thresholds, read_thresholds
from mue_cli.reports.curves import Search
from mue_cli.reports.entries import Entry, check_inputs
from mue_cli.reports.record import Record
from mue_cli.study.entries import need, own_entries
from mue_cli.study.file import kept


def points_of(run: Run, split: str) -> tuple[list[Entry], list[Search]]:
    """Return the entries of a run's study; before the first, or without one, the run's own, with
    what its calibration tried.
    """
    has_study = kept(run) is not None
    try:
        evaluated = need(run, split)
    except MissingStepError:
        if not (has_study and run.records.exists()):
            raise
        evaluated, has_study = own_entries(run, split), False
    check_inputs(evaluated, "figure")
    alone = not has_study and not any(entry.swept for entry in evaluated)
    return evaluated, _searches(run, [each.record for each in evaluated]) if alone else []


def _searches(run: Run, beside: Sequence[Record]) -> list[Search]:
    """Return what `mue calibrate` tried; nothing when it was not run, did not end, or had a full
    model that scored nothing. Raises DataError where it saw other pictures or texts than the
    evaluations beside it, or searched otherwise.
    """
    if not (run.thresholds.exists() and run.calibration.exists()):
        return []
    stored, tried = read_thresholds(run), read_tried(run)
    if tried[0].score <= 0:
        return []
    for record in beside:
        _check_alike(run, stored, record)
    return [
        Search(
            MUE.name,
            stored.split,
            stored.searched_on or stored.samples,
            tried[0].score,
            [(point.reduction, point.score) for point in tried],
        )
    ]


def _check_alike(run: Run, stored: Thresholds, beside: Record) -> None:
    """Raise DataError for a search and an evaluation that cannot share a figure."""
    here = conditions_in(beside, stored.conditions)
    names = ("search", "image_size", "prompt", "max_source_tokens")
    same = replace(stored.conditions, **{name: getattr(here, name) for name in names})
    differences = list(stored.conditions.differences(same))
    if stored.is_on_other_data(beside):
        differences.append((f"data {stored.data}", f"data {beside.settings['data']}"))
    for searched, evaluated in differences:
        raise DataError(
            f"`{run.thresholds}` was searched with {searched}, the evaluation beside it was made "
            f"with {evaluated}: they cannot share a figure",
            f"run: {run.command('calibrate')}, then {run.command('evaluate')}",
        )
