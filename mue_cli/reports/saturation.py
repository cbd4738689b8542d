"""Saturation: how alike neighbouring layers are at full depth (Fig. 3), which thresholds are chosen
from.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.reports.arrays import load_arrays, save_arrays


@dataclass(frozen=True)
class Saturation:
    """The exit scores of MuE in runs of full depth: cosine similarities (Eq. 7-10).

    exit_scores: "image", "text" or "joint", and "decoder" -> (rows, layers). Column 0 compares the
    first layer with the embedding. A row is a sample, of the decoder one decoding step. about:
    where it was measured, such as "dataset", "split", "recipe".
    """

    exit_scores: Mapping[str, NDArray[np.floating[Any]]]
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        for name, scores in self.exit_scores.items():
            if scores.ndim != 2 or 0 in scores.shape:
                raise ValueError(
                    f"exit scores of {name!r} must be rows by layers, not {scores.shape}"
                )

    def own_share(self, stream: str) -> float:
        """Return how far rows decide for themselves where to leave: the share of the variance of
        exit layers, over all rows and thresholds, that is between rows of one threshold.

        Near 0 a threshold chooses one layer for all, as fixed layers do. Thresholds: the
        percentiles of the stream's exit scores.
        """
        scores = np.asarray(self.exit_scores[stream], dtype=float)
        thresholds = np.percentile(scores, np.arange(1, 100))
        above = scores[None] > thresholds[:, None, None]  # (thresholds, rows, layers)
        above[:, :, -1] = True
        exits = above.argmax(axis=2)
        total = exits.var()
        return float(exits.var(axis=1).mean() / total) if total > 0.0 else 0.0

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        arrays = {f"stream/{name}": scores for name, scores in self.exit_scores.items()}
        save_arrays(path, arrays, self.about)

    @classmethod
    def load(cls, path: Path) -> "Saturation":
        """Read a saved file. Raises MissingStepError without it, DataError for another file."""
        return load_arrays(path, "exit scores", "mue calibrate", cls._from_arrays)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> "Saturation":
        streams = {name.removeprefix("stream/"): scores for name, scores in arrays.items()}
        if not streams or streams.keys() - {"image", "text", "joint", "decoder"}:
            raise ValueError("they are not of a model's streams")
        return cls(streams, {str(key): str(value) for key, value in about.items()})
