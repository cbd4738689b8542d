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
from mue_cli.reports.counts import samples_in_words
from mue_cli.reports.record import Record
from mue_cli.schema.json_files import built, json_lines, parse_json


@dataclass(frozen=True)
class EvaluationTraces:
    """Where the samples of an evaluation left. evaluation, method: `id` and `method` of its
    record.
    """

    evaluation: str
    method: str
    traces: tuple[Trace, ...]

    def check(self, record: Record) -> None:
        """Raise DataError when samples are missing, or leave a layer that the model does not have.

        record: of the same evaluation.
        """
        if len(self.traces) != record.num_samples:
            raise DataError(
                f"{len(self.traces)} traces are there, of {samples_in_words([record.num_samples])}",
                _AGAIN,
            )
        num_encoder_layers, num_decoder_layers = record.num_layers
        encoder = max(layer for each in self.traces for layer in each.encoder_exits.values())
        decoder = max((layer for each in self.traces for layer in each.decoder_exits), default=0)
        for name, deepest, layers in (
            ("encoder", encoder, num_encoder_layers),
            ("decoder", decoder, num_decoder_layers),
        ):
            if deepest > layers:
                raise DataError(f"a trace leaves {name} layer {deepest} of {layers}", _AGAIN)


def write_traces(path: Path, evaluation: str, method: str, traces: Iterable[Trace]) -> None:
    """Write a file, in place of the last evaluation's."""
    about = {"evaluation": evaluation, "method": method}
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(about | asdict(trace)) + "\n" for trace in traces)


def read_traces(path: Path) -> EvaluationTraces:
    """Return the traces of a file. Raises DataError, naming the line, for anything else."""
    lines = [_line(line, place) for place, line in json_lines(path, _AGAIN)]
    if not lines:
        raise DataError(f"`{path}` has no traces", _AGAIN)
    abouts = {about for about, _ in lines}
    if len(abouts) > 1:
        raise DataError(f"`{path}` mixes traces of {len(abouts)} evaluations", _AGAIN)
    traces = tuple(trace for _, trace in lines)
    if len({tuple(sorted(trace.encoder_exits)) for trace in traces}) > 1:
        raise DataError(f"`{path}` mixes traces with one encoder stream and with two", _AGAIN)
    return EvaluationTraces(*abouts.pop(), traces)


_AGAIN = "evaluate again"


def _line(line: str, place: str) -> tuple[tuple[str, str], Trace]:
    values = parse_json(line, place, _AGAIN)
    try:
        about = str(values.pop("evaluation")), str(values.pop("method"))
    except (KeyError, AttributeError, TypeError):
        raise DataError(f"{place} does not say which evaluation it is of", _AGAIN) from None
    trace = built(Trace, values, place, _AGAIN)
    if problem := _problem(trace):
        raise DataError(f"{place} {problem}", _AGAIN)
    return about, trace


def _problem(trace: Trace) -> str | None:
    """Return in which way a trace makes no sense, None when it does."""
    steps, counts = len(trace.decoder_exits), (trace.num_positions, *trace.num_hypotheses)
    layers = (*trace.encoder_exits.values(), *trace.decoder_exits)
    if not trace.encoder_exits or trace.encoder_exits.keys() != trace.encoder_tokens.keys():
        return "has not the same encoder streams among its exits and its tokens"
    if min((*layers, *counts, *trace.encoder_tokens.values())) < 1:
        return "has a layer or a number below 1"
    if not 0 <= trace.num_words <= steps or len(trace.num_hypotheses) != steps:
        return (
            f"has {trace.num_words} words and {len(trace.num_hypotheses)} counts of {steps} steps"
        )
    return None
