"""The score with one stream read after each of its layers, all others after their last: whether
there is anything to leave, and what.

Letters: N layers of a stream.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.reports.arrays import load_arrays, save_arrays

STREAMS = ("image", "text", "joint", "encoder", "decoder")
"""In the order in which they are shown; "encoder" is image and text together."""


@dataclass(frozen=True)
class DepthScores:
    """scores: after each layer by stream, (N,); the last is the full model's. differences: each
    layer's to it, and the bounds of the difference's 95 % interval, (N, 3); NaN are the bounds that
    one picture does not give.

    about: where it was measured: "recipe", "dataset", "split", and "settings" of the search.
    """

    scores: Mapping[str, NDArray[np.floating[Any]]]
    differences: Mapping[str, NDArray[np.floating[Any]]]
    metric: str
    num_samples: int
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.scores or self.scores.keys() - set(STREAMS):
            raise ValueError(f"scores must be by stream, not by {', '.join(self.scores)}")
        if self.differences.keys() != self.scores.keys():
            raise ValueError("differences must be of the same streams")
        for stream, scores in self.scores.items():
            differences = self.differences[stream]
            if scores.ndim != 1 or not scores.size or differences.shape != (scores.size, 3):
                raise ValueError("scores must be by layer, and differences with their bounds")
            gaps, bounds = differences[:, 0], differences[:, 1:]
            if not (np.isfinite(scores).all() and np.isfinite(gaps).all()):
                raise ValueError("scores must be finite")
            if not (np.isfinite(bounds).all() or np.isnan(bounds).all()):
                raise ValueError("bounds must be finite")

    @property
    def has_bounds(self) -> bool:
        return not any(np.isnan(each).any() for each in self.differences.values())

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(stream for stream in STREAMS if stream in self.scores)

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        arrays = {f"score/{stream}": each for stream, each in self.scores.items()}
        arrays |= {f"difference/{stream}": each for stream, each in self.differences.items()}
        about = {"metric": self.metric, "num_samples": self.num_samples, **self.about}
        save_arrays(path, arrays, about)

    @classmethod
    def load(cls, path: Path) -> "DepthScores":
        """Read what `save` wrote. Raises MissingStepError without the file, DataError for another
        file.
        """
        return load_arrays(path, "scores per exit layer", "mue plot depth", cls._from_arrays)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> "DepthScores":
        count, metric = int(about.pop("num_samples")), str(about.pop("metric"))
        words = {str(key): str(value) for key, value in about.items()}
        scores, differences = (
            {
                name.removeprefix(kind): each
                for name, each in arrays.items()
                if name.startswith(kind)
            }
            for kind in ("score/", "difference/")
        )
        return cls(scores, differences, metric, count, words)
