"""The log of a training, `train.jsonl`: a step per line."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, MissingStepError
from mue_cli.schema.json_files import json_lines, parse_json


@dataclass(frozen=True)
class TrainingLog:
    """What a training did, step by step; nan where a step does not say.

    steps, loss: (T,). layer_losses: (T, N), of every decoder layer. samples_per_second, memory_mb:
    (T,). scores: (step, validation score), few.
    """

    steps: NDArray[np.int64]
    loss: NDArray[np.float64]
    layer_losses: NDArray[np.float64]
    samples_per_second: NDArray[np.float64]
    memory_mb: NDArray[np.float64]
    scores: Sequence[tuple[int, float]]


def read_training_log(path: Path) -> TrainingLog:
    """Return the log of a file. Raises MissingStepError for an empty one, DataError for a line that
    is no step.
    """
    lines = [_step(text, place) for place, text in json_lines(path, _AGAIN)]
    if not lines:
        raise MissingStepError(f"`{path}` has no step yet", "wait for the first step")
    try:
        return _log(lines)
    except (TypeError, ValueError) as error:  # values of other types, layers of other numbers
        raise DataError(f"`{path}` has steps that do not fit together: {error}", _AGAIN) from None


def _log(lines: Sequence[dict[str, Any]]) -> TrainingLog:
    num_layers = max(len(line.get("losses") or ()) for line in lines)
    nothing = [None] * num_layers
    rates = [_rate(line.get("samples"), line.get("seconds")) for line in lines]
    return TrainingLog(
        np.array([line["step"] for line in lines]),
        _numbers([line["loss"] for line in lines]),
        _numbers([line.get("losses") or nothing for line in lines]).reshape(len(lines), num_layers),
        _numbers(rates),
        _numbers([line.get("memory_mb") for line in lines]),
        [(line["step"], line["score"]) for line in lines if line.get("score") is not None],
    )


_AGAIN = "train anew"


def _step(text: str, place: str) -> dict[str, Any]:
    line = parse_json(text, place, _AGAIN)
    if not isinstance(line, dict) or not {"step", "loss"} <= line.keys():
        raise DataError(f"{place} is no step of a training", _AGAIN)
    return line


def _numbers(values: Sequence[object]) -> NDArray[np.float64]:
    return np.array(values, dtype=float)


def _rate(samples: float | None, seconds: float | None) -> float | None:
    return samples / seconds if samples and seconds else None
