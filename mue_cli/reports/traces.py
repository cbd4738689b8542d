"""The traces of one evaluation on disk, `traces.jsonl`: a sample per line, each with the evaluation
and the method that it belongs to.
"""

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

from mue_cli.errors import DataError
from mue_cli.exits.trace import Trace
from mue_cli.files import replacing
from mue_cli.schema.schema import build


@dataclass(frozen=True)
class EvaluationTraces:
    """Where the samples of an evaluation left. evaluation, method: `id` and `method` of its
    record.
    """

    evaluation: str
    method: str
    traces: tuple[Trace, ...]


def write_traces(path: Path, evaluation: str, method: str, traces: Iterable[Trace]) -> None:
    """Write a file, in place of the last evaluation's."""
    about = {"evaluation": evaluation, "method": method}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(about | asdict(trace)) + "\n" for trace in traces)


def read_traces(path: Path) -> EvaluationTraces:
    """Return the traces of a file. Raises DataError, naming the line, for anything else."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if not lines:
        raise DataError(f"`{path}` has no traces", _AGAIN)
    found = [_line(line, f"line {number} of `{path}`") for number, line in enumerate(lines, 1)]
    abouts = {about for about, _ in found}
    if len(abouts) > 1:
        raise DataError(f"`{path}` mixes traces of {len(abouts)} evaluations", _AGAIN)
    return EvaluationTraces(*abouts.pop(), tuple(trace for _, trace in found))


_AGAIN = "evaluate again"


def _line(line: str, place: str) -> tuple[tuple[str, str], Trace]:
    try:
        values = json.loads(line)
        about = str(values.pop("evaluation")), str(values.pop("method"))
    except json.JSONDecodeError:
        raise DataError(f"{place} is not JSON", _AGAIN) from None
    except (KeyError, AttributeError, TypeError):
        raise DataError(f"{place} does not say which evaluation it is of", _AGAIN) from None
    return about, build(Trace, values, lambda key: place)
