"""The log of a calibration, trials.jsonl: what every setting gave on every sample.

An interrupted calibration goes on from it, and the next target need not measure again. The first
line says under which circumstances it holds; under others it is begun anew.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import asdict
from pathlib import Path
from typing import Any

from mue_cli.calibration.measured import Setting
from mue_cli.errors import FileError
from mue_cli.exits.trace import Trace
from mue_cli.files import append, read_text, write_text

Answer = tuple[str, Trace]
"""A sample's text and exits."""

Key = tuple[tuple[tuple[str, float], ...], tuple[tuple[str, float], ...]]


class TrialLog:
    """Answers by setting and sample, kept in a file as they come."""

    def __init__(self, path: Path, circumstances: Mapping[str, object]) -> None:
        """circumstances: all that answers depend on besides setting and sample, as JSON values."""
        self._path: Path | None = path
        self._answers: dict[Key, dict[int, Answer]] = {}
        head = json.dumps(dict(circumstances), sort_keys=True)
        if not self._read(path, head):
            self._answers = {}
            write_text(path, head + "\n")

    def unwritten(self) -> "TrialLog":
        """The same answers, without the file."""
        log = copy(self)
        log._path = None
        return log

    def known(self, setting: Setting) -> Mapping[int, Answer]:
        """Answers of a setting, by sample."""
        return self._answers.get(_key(setting), {})

    def all(self) -> Iterator[tuple[Setting, Mapping[int, Answer]]]:
        """Yield every setting with its answers."""
        for (thresholds, decay), answers in self._answers.items():
            yield Setting(dict(thresholds), dict(decay)), answers

    def add(self, setting: Setting, answers: Mapping[int, Answer]) -> None:
        """Keep answers of a setting."""
        self._answers.setdefault(_key(setting), {}).update(answers)
        if self._path is None:
            return
        line = {
            "thresholds": dict(setting.thresholds),
            "decay": dict(setting.decay),
            "samples": list(answers),
            "texts": [text for text, _ in answers.values()],
            "traces": [_short(trace) for _, trace in answers.values()],
        }
        append(self._path, json.dumps(line))

    def _read(self, path: Path, head: str) -> bool:
        """Whether the file holds under these circumstances; a line that was cut off is left out."""
        try:
            lines = read_text(path).splitlines()
        except FileError:
            return False
        if not lines or lines[0] != head:
            return False
        try:
            for line in lines[1:]:
                self._take(json.loads(line))
        except (ValueError, KeyError, TypeError, RecursionError):
            whole = "\n".join([head, *map(json.dumps, self._lines())])
            write_text(path, whole + "\n")
        return True

    def _take(self, line: Mapping[str, Sequence[Any]]) -> None:
        setting = Setting(dict(line["thresholds"]), dict(line["decay"]))
        traces = [_long(values) for values in line["traces"]]
        rows = zip(line["samples"], line["texts"], traces, strict=True)
        answers = {int(sample): (str(text), trace) for sample, text, trace in rows}
        self._answers.setdefault(_key(setting), {}).update(answers)

    def _lines(self) -> list[dict[str, object]]:
        return [
            {
                "thresholds": dict(thresholds),
                "decay": dict(decay),
                "samples": list(answers),
                "texts": [text for text, _ in answers.values()],
                "traces": [_short(trace) for _, trace in answers.values()],
            }
            for (thresholds, decay), answers in self._answers.items()
        ]


def _key(setting: Setting) -> Key:
    return tuple(setting.thresholds.items()), tuple(setting.decay.items())


def _short(trace: Trace) -> Sequence[object]:
    return list(asdict(trace).values())


def _long(values: Sequence[Any]) -> Trace:
    sample_id, exits, tokens, decoder_exits, num_words, hypotheses, positions = values
    return Trace(
        sample_id, exits, tokens, tuple(decoder_exits), num_words, tuple(hypotheses), positions
    )
