"""Settings: one candidate threshold for every stream, all combinations of them.

Letters: C settings, K streams, E settings already run.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mue_cli.calibration.candidates import Array, Candidates


@dataclass(frozen=True)
class Point:
    """One setting that was really run. reduction: measured, Eq. 14, a fraction."""

    thresholds: Mapping[str, float]
    score: float
    reduction: float


@dataclass(frozen=True)
class Settings:
    """All candidate settings. thresholds, saved: (C, K), the decoder last. reduction: (C,), Eq. 14
    as the full model's exit scores predict it.
    """

    streams: tuple[str, ...]
    thresholds: Array
    saved: Array
    reduction: Array

    @classmethod
    def of(cls, candidates: Mapping[str, Candidates]) -> "Settings":
        """Combine the streams' candidate thresholds, from never to at once."""
        streams = (*(stream for stream in candidates if stream != "decoder"), "decoder")
        thresholds = _combinations([candidates[stream].thresholds for stream in streams])
        saved = _combinations([candidates[stream].saved for stream in streams])
        # A method of the decoder alone saves nothing in the encoder.
        encoder = saved[:, :-1].mean(axis=1) if len(streams) > 1 else 0.0
        return cls(streams, thresholds, saved, (encoder + saved[:, -1]) / 2.0)

    @property
    def full(self) -> int:
        """Number of the setting that never leaves."""
        return 0

    @property
    def earliest(self) -> int:
        """Number of the setting that leaves every stream after its first layer."""
        return len(self.saved) - 1

    def __getitem__(self, candidate: int) -> dict[str, float]:
        values = map(float, self.thresholds[candidate])
        return dict(zip(self.streams, values, strict=True))

    def distances(self, tried: Sequence[int]) -> Array:
        """How far settings are from those already run, (C, E), in saved fractions."""
        return np.linalg.norm(self.saved[:, None] - self.saved[list(tried)][None], axis=2)


def _combinations(columns: Sequence[Array]) -> Array:
    return np.array(list(itertools.product(*columns)))
