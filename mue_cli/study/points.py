"""The evaluated points that a trade-off figure draws: of a study, or of a run alone."""

from mue_cli.errors import MissingStepError
from mue_cli.exits.catalogue import MUE
from mue_cli.experiment.run_folder import Run, read_tried
from mue_cli.experiment.thresholds import read_thresholds
from mue_cli.reports.curves import Search
from mue_cli.reports.entries import Entry
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
    searches = [] if has_study or any(entry.swept for entry in evaluated) else _searches(run)
    return evaluated, searches


def _searches(run: Run) -> list[Search]:
    """Return what `mue calibrate` tried; nothing when it was not run, did not end, or had a full
    model that scored nothing.
    """
    if not (run.thresholds.exists() and run.calibration.exists()):
        return []
    stored, tried = read_thresholds(run), read_tried(run)
    if tried[0].score <= 0:
        return []
    return [
        Search(
            MUE.name,
            stored.split,
            stored.searched_on or stored.samples,
            tried[0].score,
            [(point.reduction, point.score) for point in tried],
        )
    ]
