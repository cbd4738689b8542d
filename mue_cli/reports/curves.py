"""What a trade-off figure shows: records that belong together, the settings a search tried, and the words below."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mue_cli.errors import DataError, MissingStepError
from mue_cli.reports.published import DATASETS, FULL_MODEL, SOURCE, published_full_score
from mue_cli.reports.record import Record

METHOD_NAMES = {"mue": "MuE", "deebert": "DeeBERT", "pabee": "PABEE", "calm": "CALM", "deecap": "DeeCap"}
_PAPER_DATA = {"caption": "COCO (Karpathy test)", "entailment": "SNLI-VE test"}


@dataclass(frozen=True)
class Search:
    """Every setting of one method that a calibration really ran.

    points: (expected reduction in [0, 1], score) of each. full_score: of the full model on the same samples.
    """

    method: str
    split: str
    num_samples: int
    full_score: float
    points: Sequence[tuple[float, float]]


def pareto_front(points: Iterable[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the (reduction, score) points that no other matches in both and beats in one, by rising reduction."""
    front: list[tuple[float, float]] = []
    for reduction, score in sorted(set(points), reverse=True):
        if not front or score > front[-1][1]:
            front.append((reduction, score))
    return front[::-1]


def is_paper_data(record: Record) -> bool:
    """Return whether the record's scores may stand beside the published ones as they are."""
    return DATASETS.get(record.task) == record.dataset


def check_alike(records: Sequence[Record]) -> None:
    """Raise DataError for records that cannot share a figure, MissingStepError when there are none."""
    if not records:
        raise MissingStepError("there is no record to plot", "`mue evaluate` writes records")
    for name in ("task", "dataset", "split", "metric"):
        values = sorted({str(getattr(record, name)) for record in records})
        if len(values) > 1:
            raise DataError(f"records of different {name}s cannot share a figure: {', '.join(values)}", "plot them one by one")


def full_score(records: Sequence[Record]) -> float:
    """Return the score of the last record of `full`. Raises MissingStepError without one, DataError when it is not above 0."""
    scores = [record.score for record in records if record.method == "full"]
    if not scores:
        raise MissingStepError("there is no record of `full` to compare with", "evaluate the method `full` on the same split first")
    if scores[-1] <= 0:
        raise DataError(f"the full model scores {scores[-1]:g}: nothing can be relative to that", "train it for longer")
    return scores[-1]


def tradeoff_caption(records: Sequence[Record], searches: Sequence[Search]) -> str:
    """Return what a reader has to know: whose points, how many samples, which data the published ones are on."""
    first = records[0]
    parts = [f"Filled: {first.dataset} {first.split}, {_sizes(records)} samples."]
    if any(record.metric in record.confidence for record in records):
        parts.append("Bars: 95\u00a0% bootstrap interval.")
    for search in searches:
        name = METHOD_NAMES.get(search.method, search.method)
        parts.append(f"Dots: {len(search.points)} settings of {name} tried on {search.split} ({search.num_samples:,} samples);")
        parts.append("thin line: those that no other beats.")
    if first.task in _PAPER_DATA:
        parts.append(_published_caption(first))
    return " ".join(parts)


def _published_caption(record: Record) -> str:
    data = _PAPER_DATA[record.task]
    if is_paper_data(record):
        return f"Hollow: as published for {FULL_MODEL} on {data} ({SOURCE})."
    hundred = f"{published_full_score(record.task)}\u00a0=\u00a0100\u00a0%"
    own = f"per cent of the paper's own full {FULL_MODEL} ({hundred}; {SOURCE})"
    return f"Hollow: as published on {data}, other data and another model: {own}."


def _sizes(records: Sequence[Record]) -> str:
    counts = sorted({record.num_samples for record in records})
    return f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
