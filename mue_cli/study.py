"""A study: several methods on one backbone, over seeds, and the entries that tables and figures are made of."""

from mue_cli.reports.entries import Entry
from mue_cli.reports.record import Record
from mue_cli.runs import Run, records

SWEEP = "sweep"
"""Setting of a record that is a point of a trade-off curve."""


def entries(run: Run, split: str) -> list[Entry]:
    """Return the newest record of each method and setting of a run as entries. Raises MissingStepError before the first evaluation."""
    found = [record for record in records(run) if record.split == split]
    newest = list({(record.method, repr(record.settings)): record for record in found}.values())
    full = next((record.score for record in reversed(newest) if record.method == "full"), 0.0)
    return [_entry(record, full) for record in newest]


def _entry(record: Record, full_score: float) -> Entry:
    return Entry(record.method, record.seed, bool(record.settings.get(SWEEP)), record, full_score)
