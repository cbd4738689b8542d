"""An entry: one evaluated point as a row of the paper's tables, with the seed of the training
behind it.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from mue_cli.errors import DataError
from mue_cli.exits.catalogue import FULL, ORACLE, spec_or_full, title
from mue_cli.reports.inputs import DATA_INPUTS, INPUTS
from mue_cli.reports.record import Record
from mue_cli.schema.schema import show

_TITLES = {
    FULL.name: "full",
    "mue-joint": "MuE, joint encoder",
    "mue-last": "MuE, last-layer loss",
    ORACLE: "oracle (same answers)",
}

_SUBJECTS = ("task", "dataset", "split", "metric")
_ALIKE = "evaluate them alike, or keep them in run folders of their own"
_OF_INPUTS = (
    "keep them in run folders of their own, or take those that count no more out of records.jsonl"
)
_CONDITIONS = ("search", "precision", "weights", "device")


def row_title(row: str) -> str:
    """Return what tables and figures call a row; one that nobody has thought of is its own."""
    return _TITLES.get(row) or title(row)


@dataclass(frozen=True)
class Entry:
    """One evaluated point of a row.

    row: name in tables, such as "full", "small", "deebert" or "mue-joint". full_score: of the full
    model of the same seed, which scores are relative to (the study's row `full`).
    """

    row: str
    seed: int
    record: Record
    full_score: float

    @property
    def point(self) -> float | None:
        """The record's number on the method's trade-off curve, the same for every seed; None for
        the chosen setting, which tables show.
        """
        return self.record.point

    @property
    def swept(self) -> bool:
        return self.point is not None

    @property
    def is_variant(self) -> bool:
        """Whether the row changes a method that has a row of its own, to ask what a part of it is
        good for.
        """
        method = self.record.method
        return spec_or_full(method).is_calibrated and self.row != method


def other_full(entries: Sequence[Entry]) -> list[str]:
    """Return in words which entries are relative to another full score than that of the row `full`
    of the same seed, with streams cut alike.
    """
    shown = {
        (entry.seed, entry.record.settings.get("decompose")): entry.record.score
        for entry in entries
        if entry.row == FULL.name and not entry.swept
    }
    sentences = []
    for entry in entries:
        whole = shown.get((entry.seed, entry.record.settings.get("decompose")))
        if whole and entry.full_score > 0 and not entry.swept and entry.full_score != whole:
            sentences.append(
                f"{row_title(entry.row)} is relative to the full model beside it, "
                f"{entry.full_score:.1f}, not to the row's {whole:.1f}."
            )
    return list(dict.fromkeys(sentences))


def check_alike(entries: Sequence[Entry], place: str) -> None:
    """Raise DataError for entries that cannot share a place, a table or a figure, naming what
    differs.

    Points of curves are looked at for their data alone: they come with an evaluation that is looked
    at. Records from before state less of their inputs, which is no difference.
    """
    for name in _SUBJECTS:
        values = sorted({str(getattr(entry.record, name)) for entry in entries})
        if len(values) > 1:
            message = f"records of different {name}s cannot share a {place}: {', '.join(values)}"
            raise DataError(message, "keep them in run folders of their own")
    chosen = [entry.record for entry in entries if not entry.swept]
    _refuse_different([dict(_conditions(record)) for record in chosen], place)


def check_inputs(entries: Sequence[Entry], place: str) -> None:
    """Raise DataError for entries that were measured on different data, or with different weights
    in one run.
    """
    chosen = [entry.record for entry in entries if not entry.swept]
    _refuse_different([dict(_inputs(record)) for record in chosen], place)


def _refuse_different(conditions: Sequence[Mapping[str, object]], place: str) -> None:
    for name in dict.fromkeys(name for each in conditions for name in each):
        stating = [each for each in conditions if name in each or name not in INPUTS]
        values = sorted({show(each.get(name)) for each in stating})
        if len(values) > 1:
            message = f"records that differ in {name} cannot share a {place}: {', '.join(values)}"
            raise DataError(message, _OF_INPUTS if name in INPUTS else _ALIKE)


def _conditions(record: Record) -> Iterator[tuple[str, object]]:
    yield "num_samples", record.num_samples
    for name in _CONDITIONS:
        value = record.settings.get(name)
        if isinstance(value, Mapping):
            yield from ((f"{name}.{key}", item) for key, item in value.items())
        else:
            yield name, value
    yield from _inputs(record)


def _inputs(record: Record) -> Iterator[tuple[str, object]]:
    """Yield what a record states of its inputs; the rows of a study have weights of their own."""
    names = DATA_INPUTS if record.row else INPUTS
    return ((name, record.settings[name]) for name in names if name in record.settings)
