"""Latency from parts: what a layer of each stream, a decoding step and all the rest take here.

A few static settings are timed sample by sample; milliseconds are fitted as a sum over the parts of
a trace, each at least zero. Any setting's latency then follows from its traces, before it is
verified turn by turn against the full model.

Letters: n samples, E timed runs, F parts.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray

from mue_cli.exits.trace import Trace

Array = NDArray[np.float64]

SWEEPS = 500  # of coordinate descent


@dataclass(frozen=True)
class LatencyModel:
    """milliseconds of each part: everything that always runs ("rest"), a layer of an encoder
    stream, a decoding step, a decoder layer of one step. error: mean relative error of the fit.
    """

    parts: dict[str, float]
    error: float

    def milliseconds(self, traces: Sequence[Trace]) -> Array:
        """Predicted time of each sample, (n,)."""
        return _features(traces, list(self.parts)) @ np.array(list(self.parts.values()))

    @classmethod
    def fit(cls, traces: Sequence[Trace], milliseconds: Sequence[float]) -> "LatencyModel":
        """Fit timed runs: each run's trace and its time."""
        streams = list(traces[0].encoder_exits)
        names = ["rest", *(f"{stream} layer" for stream in streams), "step", "decoder layer"]
        features, times = _features(traces, names), np.asarray(milliseconds, dtype=np.float64)
        weights = 1.0 / times
        values = _non_negative(features * weights[:, None], times * weights)
        error = float(np.abs(features @ values / times - 1.0).mean())
        return cls(dict(zip(names, map(float, values), strict=True)), error)


def time_runs(
    runs: Sequence[Callable[[], Trace]],
    repeats: int = 3,
    synchronize: Callable[[], object] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[list[Trace], list[float]]:
    """Traces of some runs and the median of each one's times, in milliseconds, turn by turn so that
    a busy moment hits all alike.
    """
    traces = [run() for run in runs]
    times: list[list[float]] = [[] for _ in runs]
    for turn in range(repeats):
        for run, each in zip(runs, times, strict=True):
            if synchronize is not None:
                synchronize()
            start = time.perf_counter()
            run()
            if synchronize is not None:
                synchronize()
            each.append(1000.0 * (time.perf_counter() - start))
        if progress is not None:
            progress(turn + 1, repeats)
    return traces, [median(each) for each in times]


def _features(traces: Sequence[Trace], names: Sequence[str]) -> Array:
    return np.array([[_count(trace, name) for name in names] for trace in traces], dtype=np.float64)


def _count(trace: Trace, name: str) -> float:
    match name:
        case "rest":
            return 1.0
        case "step":
            return float(len(trace.decoder_exits))
        case "decoder layer":
            return float(sum(trace.decoder_exits))
        case _:
            return float(trace.encoder_exits[name.removesuffix(" layer")])


def _non_negative(features: Array, values: Array) -> Array:
    """Least squares with coefficients of at least zero, by coordinate descent on scaled columns."""
    scale = np.linalg.norm(features, axis=0)
    scale[scale == 0.0] = 1.0
    gram = (features / scale).T @ (features / scale) + 1e-9 * np.eye(len(scale))
    moments = (features / scale).T @ values
    solution = np.zeros(len(scale))
    for _ in range(SWEEPS):
        for j in range(len(solution)):
            step = (moments[j] - gram[j] @ solution) / gram[j, j]
            solution[j] = max(0.0, solution[j] + step)
    return solution / scale
