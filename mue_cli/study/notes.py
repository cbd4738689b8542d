"""Notes: what a reader of a run's entries has to know besides their numbers."""

from collections.abc import Iterator
from dataclasses import dataclass

from mue_cli.experiment.run_folder import Run, records
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.entries import row_title
from mue_cli.reports.record import Record
from mue_cli.study.entries import own_entries
from mue_cli.study.file import kept
from mue_cli.study.stale import stale


@dataclass(frozen=True)
class Note:
    """A sentence about a row."""

    row: str
    text: str


def notes(run: Run, split: str) -> list[Note]:
    """Return what is to be said of a run's entries: of a study, which rows are stale; else, which
    evaluations took the place of larger ones.
    """
    if kept(run) is not None:
        return [Note(each.row, each.in_words(run)) for each in stale(run, split)]
    return list(dict.fromkeys(_shorter(run, split)))


def _shorter(run: Run, split: str) -> Iterator[Note]:
    here = [record for record in records(run) if record.split == split]
    for entry in own_entries(run, split):
        shown = entry.record
        largest = max(each.num_samples for each in here if _is_alike(each, shown))
        if largest > shown.num_samples:
            what = "curve" if entry.swept else "evaluation"
            yield Note(
                entry.row,
                f"{row_title(entry.row)}: the newest {what} is shown, of "
                f"{samples_in_words([shown.num_samples])}; an earlier one had {largest:,}.",
            )


def _is_alike(one: Record, other: Record) -> bool:
    """Whether records are of the same setting, or both of curves of the same method."""
    if one.method != other.method or (one.point is None) != (other.point is None):
        return False
    return one.point is not None or one.settings == other.settings
