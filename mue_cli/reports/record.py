"""A record: one evaluated point, scores and costs side by side. One line of `records.jsonl`."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated

from mue_cli.errors import DataError, MissingStepError
from mue_cli.files import append
from mue_cli.schema.json_files import built, json_lines, parse_json
from mue_cli.schema.schema import Count, Range, show

SHUFFLED = "{} with shuffled pictures"
"""Name of a metric where every sample has another's picture (a control)."""


@dataclass(frozen=True)
class Record:
    """One evaluated point: the scores of a method on one split, and their cost.

    id: of the evaluation; the same command on the same weights has the same. One call evaluates a
        method, `full` beside it and maybe the method's curve: they share the id, and with it their
        samples and conditions.
    row: of the study that asked for the evaluation, None outside one and for the `full` beside it.
    point: number of a point of the method's curve; None for a setting of its own.
    scores: metric name -> value as papers print it: CIDEr 1.287 as 128.7, accuracy as per cent.
        Which metrics were left out, and why, is in `left_out` (metric name -> reason).
    metric: the name in `scores` that the task is judged by ("CIDEr", "accuracy").
    costs: fractions in [0, 1] unless named otherwise: "expected" (Eq. 14),
        "expected_token_weighted", "flops", "measured" (1 - latency_ms / full_latency_ms),
        "gflops_per_sample", "latency_ms", "full_latency_ms" (the method's and the full model's mean
        over the timed samples, a sample's being the median of its turns; absent, and "measured"
        with them, when nothing was timed),
        "image_layers", "text_layers" or "joint_layers", "decoder_layers" (mean exit layers),
        "num_encoder_layers", "num_decoder_layers".
    seed: of the training.
    settings: thresholds and decoding settings, for the reader.
    confidence: metric name -> lower and upper bound of its score (95 %, bootstrap over pictures:
        questions about one are drawn together), absent below two pictures.
    difference: likewise of the score minus that of the `full` beside it, paired by sample: far
        narrower, since both find the same samples hard.

    With `evaluation.shuffled_pictures` there are scores named SHUFFLED too, of the same samples
    with others' pictures; their difference is to the score with the samples' own.
    """

    id: str
    recipe: str
    task: str
    dataset: str
    split: str
    method: str
    seed: Annotated[int, Range(0)]
    num_samples: Count
    metric: str
    scores: Mapping[str, float]
    costs: Mapping[str, float]
    settings: Mapping[str, object] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    difference: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    row: str | None = None
    point: float | None = None

    @property
    def score(self) -> float:
        return self.scores[self.metric]

    @property
    def num_layers(self) -> tuple[int, int]:
        """Layers of the encoder and the decoder. Raises DataError for a record without them."""
        try:
            numbers = [self.costs[f"num_{stack}_layers"] for stack in ("encoder", "decoder")]
        except KeyError as name:
            raise DataError(f"the record {self.id} has no {name} among its costs", _HINT) from None
        return int(numbers[0]), int(numbers[1])


def evaluation_id(about: Mapping[str, object]) -> str:
    """Return the id of an evaluation, eight hexadecimal digits: one that is made again has the same
    id, and so the same files.

    about: all that decides what it gives, plain values.
    """
    text = json.dumps(about, sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:8]


def append_record(path: Path, *records: Record) -> None:
    """Add each record as one JSON line, all in one go; the folder is made when it is absent.

    After a line that was cut short (a killed machine) the new one starts afresh, so that
    `read_records` names the broken one. Raises ValueError for a number that is not finite, OSError
    when they cannot be written whole; then the file is as it was.
    """
    lines = [json.dumps(_as_json(each), ensure_ascii=False, allow_nan=False) for each in records]
    append(path, "\n".join(lines))


def read_records(path: Path) -> list[Record]:
    """Return the records of a file in the order they were written; of a point that was evaluated
    again, the last.

    Raises MissingStepError without the file or with an empty one, DataError naming file and line
    for a line that is no record.
    """
    if not path.exists():
        raise MissingStepError(
            f"there are no records: {path} is absent", "`mue evaluate` writes it"
        )
    records = [_from_line(line, place) for place, line in json_lines(path, _HINT)]
    if not records:
        raise MissingStepError(
            f"there are no records: {path} is empty", "`mue evaluate` adds to it"
        )
    last: dict[tuple[object, ...], Record] = {}
    for each in reversed(records):
        last.setdefault((each.id, each.method, each.row, each.point), each)
    return list(reversed(last.values()))


_HINT = "remove that line and run that `mue evaluate` again"


def _as_json(record: Record) -> dict[str, object]:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    values["scores"] = {name: float(value) for name, value in record.scores.items()}
    values["costs"] = {name: float(value) for name, value in record.costs.items()}
    return {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }


def _from_line(line: str, place: str) -> Record:
    record = built(Record, parse_json(line, place, _HINT), place, _HINT)
    if record.metric not in record.scores:
        raise DataError(f"{place} has no score for its metric {show(record.metric)}", _HINT)
    if "expected" not in record.costs:
        raise DataError(f"{place} has no `expected` among its costs", _HINT)
    return record
