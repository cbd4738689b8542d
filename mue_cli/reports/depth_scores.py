"""The score with one stream read after each of its layers, all others after their last: whether
there is anything to leave, and what.

Letters: N layers of a stream, n samples.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.errors import DataError, MissingStepError
from mue_cli.metrics.bootstrap import mean_interval
from mue_cli.reports.arrays import load_arrays, save_arrays

STREAMS = ("image", "text", "joint", "encoder", "decoder")
"""In the order in which they are shown; "encoder" is image and text together."""


@dataclass(frozen=True)
class DepthScores:
    """sample_scores: every sample's own score by stream, (N, n); the last row is the full model's.

    about: where it was measured: "recipe", "dataset", "split", and "settings" of the search.
    """

    sample_scores: Mapping[str, NDArray[np.floating[Any]]]
    metric: str
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        if not self.sample_scores or self.sample_scores.keys() - set(STREAMS):
            raise ValueError(f"scores must be by stream, not by {', '.join(self.sample_scores)}")
        lengths = {each.shape[1] if each.ndim == 2 else 0 for each in self.sample_scores.values()}
        if len(lengths) != 1 or 0 in lengths:
            raise ValueError("scores of every stream must be layers by the same samples")
        if not all(len(each) and np.isfinite(each).all() for each in self.sample_scores.values()):
            raise ValueError("scores must be finite, of one layer at least")

    @property
    def streams(self) -> tuple[str, ...]:
        return tuple(stream for stream in STREAMS if stream in self.sample_scores)

    @property
    def num_samples(self) -> int:
        return next(iter(self.sample_scores.values())).shape[1]

    def scores(self, stream: str) -> NDArray[np.float64]:
        """Return the score after each layer, (N,)."""
        means: NDArray[np.float64] = self.sample_scores[stream].mean(axis=1, dtype=np.float64)
        return means

    def differences(self, stream: str) -> NDArray[np.float64]:
        """Return each layer's score minus the full model's, and the bounds of its 95 % interval,
        (N, 3): paired, bootstrap over samples.
        """
        gaps = self.sample_scores[stream] - self.sample_scores[stream][-1]
        return np.array([[gap.mean(dtype=np.float64), *mean_interval(gap)] for gap in gaps])

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        arrays = {
            f"stream/{name}": each.astype(np.float32) for name, each in self.sample_scores.items()
        }
        save_arrays(path, arrays, {"metric": self.metric, **self.about})

    @classmethod
    def load(cls, path: Path) -> "DepthScores":
        """Read what `save` wrote. Raises MissingStepError without the file, DataError for another
        file.
        """
        if not path.exists():
            raise MissingStepError(
                f"there is no score per exit layer: {path} is absent",
                "`mue plot depth` measures it",
            )
        arrays, about = load_arrays(path, "scores per exit layer", _HINT)
        try:
            metric = str(about.pop("metric"))
            words = {str(key): str(value) for key, value in about.items()}
            scores = {name.removeprefix("stream/"): each for name, each in arrays.items()}
            return cls(scores, metric, words)
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} holds no scores per exit layer: {error}", _HINT) from None


_HINT = "remove it and measure again: mue plot depth"
