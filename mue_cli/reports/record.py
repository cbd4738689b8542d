"""A record: one evaluated point, scores and costs side by side. One line of `records.jsonl`."""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from mue_cli.errors import DataError, MissingStepError


@dataclass(frozen=True)
class Record:
    """One evaluated point: the scores of a method on one split, and their cost.

    id: of the evaluation. One call evaluates a method, `full` beside it and maybe the method's
        curve: they share the id, and with it their samples and conditions.
    row: of the study that asked for the evaluation, None outside one and for the `full` beside it.
    point: number of a point of the method's curve; None for a setting of its own.
    scores: metric name -> value as papers print it: CIDEr 1.287 as 128.7, accuracy as per cent.
        Which metrics were left out, and why, is in `left_out` (metric name -> reason).
    metric: the name in `scores` that the task is judged by ("CIDEr", "accuracy").
    costs: fractions in [0, 1] unless named otherwise: "expected" (Eq. 14),
        "expected_token_weighted", "flops", "measured" (1 - median time over that of `full`; absent
        when it was not timed), "gflops_per_sample", "latency_ms", "full_latency_ms",
        "image_layers", "text_layers" or "joint_layers", "decoder_layers" (mean exit layers),
        "num_encoder_layers", "num_decoder_layers".
    settings: thresholds and decoding settings, for the reader.
    confidence: metric name -> lower and upper bound of its score (95 %, bootstrap over samples),
    where that was computed.
    """

    id: str
    recipe: str
    task: str
    dataset: str
    split: str
    method: str
    seed: int
    num_samples: int
    metric: str
    scores: Mapping[str, float]
    costs: Mapping[str, float]
    settings: Mapping[str, object] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    confidence: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    row: str | None = None
    point: float | None = None

    @property
    def score(self) -> float:
        return self.scores[self.metric]


def new_id() -> str:
    """Return an id for an evaluation: eight hexadecimal digits, drawn at random."""
    return secrets.token_hex(4)


def append_record(path: Path, record: Record) -> None:
    """Add the record as one JSON line; the folder is made when it is absent.

    A line is written in one go. After a line that was cut short (a full disk, a killed machine) the
    new one starts afresh, so that `read_records` finds the broken one. Raises ValueError for a
    number that is not finite, OSError when it cannot be written whole.
    """
    line = json.dumps(_as_json(record), ensure_ascii=False, allow_nan=False) + "\n"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab+", buffering=0) as file:
        end = file.seek(0, 2)
        if end:
            file.seek(end - 1)
            line = line if file.read(1) == b"\n" else "\n" + line
        written = file.write(line.encode())
    if written != len(line.encode()):
        raise OSError(
            f"{path}: only {written} of {len(line.encode())} bytes were written; is the disk full?"
        )


def read_records(path: Path) -> list[Record]:
    """Return the records of a file in the order they were written.

    Raises MissingStepError without the file or with an empty one, DataError naming file and line
    for a line that is no record.
    """
    if not path.is_file():
        raise MissingStepError(
            f"there are no records: {path} is absent", "`mue evaluate` writes it"
        )
    lines = path.read_text(encoding="utf-8", errors="replace").split("\n")
    records = [
        _from_line(line, f"{path}, line {number}")
        for number, line in enumerate(lines, start=1)
        if line.strip()
    ]
    if not records:
        raise MissingStepError(
            f"there are no records: {path} is empty", "`mue evaluate` adds to it"
        )
    return records


def _as_json(record: Record) -> dict[str, object]:
    values = {f.name: getattr(record, f.name) for f in fields(record)}
    values["scores"] = {name: float(value) for name, value in record.scores.items()}
    values["costs"] = {name: float(value) for name, value in record.costs.items()}
    return {
        name: dict(value) if isinstance(value, Mapping) else value for name, value in values.items()
    }


def _from_line(line: str, place: str) -> Record:
    try:
        values = json.loads(line)
        if not isinstance(values, dict):
            raise TypeError("it is no JSON object")
        values["confidence"] = {
            name: (low, high) for name, (low, high) in values.get("confidence", {}).items()
        }
        record = Record(**values)
        _check(record)
    except (ValueError, TypeError, AttributeError) as error:
        what = (
            "it is cut short or no JSON"
            if isinstance(error, json.JSONDecodeError)
            else str(error).removeprefix("Record.__init__() ")
        )
        raise DataError(
            f"{place} is not a record: {what}", "remove that line and run that `mue evaluate` again"
        ) from None
    return record


def _check(record: Record) -> None:
    for name, kind in (
        ("id", str),
        ("scores", dict),
        ("costs", dict),
        ("metric", str),
        ("method", str),
        ("num_samples", int),
        ("row", str | None),
        ("point", float | int | None),
    ):
        if not isinstance(getattr(record, name), kind):
            raise TypeError(f"`{name}` is {getattr(record, name)!r}")
    if record.metric not in record.scores:
        raise TypeError(f"it has no score for its metric {record.metric!r}")
