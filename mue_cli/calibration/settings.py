"""Settings: one candidate threshold for every stream, all combinations of them.

Letters: C settings, K streams, E settings already run.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import ArrayLike

from mue_cli.calibration.candidates import Array, Candidates, candidate_thresholds


@dataclass(frozen=True)
class Point:
    """One setting that was really run. reduction: measured, Eq. 14, a fraction. decay: Eq. 11's
    beta and tau where they are not the recipe's.
    """

    thresholds: Mapping[str, float]
    score: float
    reduction: float
    decay: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Settings:
    """All candidate settings. thresholds, saved: (C, K), the decoder last. reduction: (C,), as the
    full model's exit scores predict it. candidates: by stream, the decoder last.
    """

    streams: tuple[str, ...]
    thresholds: Array
    saved: Array
    reduction: Array
    candidates: Mapping[str, Candidates] = field(default_factory=dict)
    weights: Mapping[str, float] | None = None

    @classmethod
    def from_scores(cls, exit_scores: Mapping[str, ArrayLike]) -> "Settings":
        """Settings of streams with these exit scores, (R, N): "image" and "text", or "joint", and
        "decoder", or "decoder" alone. A row is a sample, in the decoder a word.
        """
        return cls.of({name: candidate_thresholds(scores) for name, scores in exit_scores.items()})

    @classmethod
    def of(
        cls, candidates: Mapping[str, Candidates], weights: Mapping[str, float] | None = None
    ) -> "Settings":
        """Combine the streams' candidate thresholds, from never to at once.

        weights: by stream, the reduction that a saving of all its layers would be; Eq. 14's when
        None. Raises ValueError without a decoder.
        """
        if "decoder" not in candidates:
            raise ValueError(f"the decoder's exit scores are needed, not only {sorted(candidates)}")
        streams = (*(stream for stream in candidates if stream != "decoder"), "decoder")
        thresholds = _combinations([candidates[stream].thresholds for stream in streams])
        saved = _combinations([candidates[stream].saved for stream in streams])
        ordered = {stream: candidates[stream] for stream in streams}
        reduction = predicted_reduction(streams, saved, weights)
        return cls(streams, thresholds, saved, reduction, ordered, weights)

    @property
    def full(self) -> int:
        """Number of the setting that never leaves."""
        return 0

    @property
    def earliest(self) -> int:
        """Number of the setting that leaves every stream after its first layer."""
        return len(self.saved) - 1

    @property
    def shape(self) -> tuple[int, ...]:
        """How many candidates each stream has."""
        return tuple(len(each.thresholds) for each in self.candidates.values())

    def __getitem__(self, candidate: int) -> dict[str, float]:
        values = map(float, self.thresholds[candidate])
        return dict(zip(self.streams, values, strict=True))

    def reduction_of(self, saved: Array) -> Array:
        """Reduction, (C,), of saved fractions, (C, K), that were measured."""
        return predicted_reduction(self.streams, saved, self.weights)

    def distances(self, tried: Sequence[int]) -> Array:
        """How far settings are from those already run, (C, E), in saved fractions."""
        return np.linalg.norm(self.saved[:, None] - self.saved[list(tried)][None], axis=2)


def predicted_reduction(
    streams: Sequence[str], saved: Array, weights: Mapping[str, float] | None
) -> Array:
    """Reduction, (C,), of saved fractions of the streams' layers, (C, K), the decoder last."""
    if weights is not None:
        return saved @ np.array([weights[stream] for stream in streams])
    # Eq. 14. A method of the decoder alone saves nothing in the encoder.
    encoder = saved[:, :-1].mean(axis=1) if len(streams) > 1 else 0.0
    return (encoder + saved[:, -1]) / 2.0


def _combinations(columns: Sequence[Array]) -> Array:
    return np.array(list(itertools.product(*columns)))
