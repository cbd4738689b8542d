"""The score for every pair of image and text exit layers, the decoder at full depth (Table 2 of the
paper).
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mue_cli.reports.arrays import load_arrays, save_arrays


@dataclass(frozen=True)
class ExitGrid:
    """The score with every pair of exit layers.

    scores: (N, N), row image layer - 1, column text layer - 1; the last cell is the full model's.
    about: where it was measured: "recipe", "dataset", "split", and "settings" of the search.
    """

    scores: NDArray[np.floating[Any]]
    metric: str
    num_samples: int
    about: Mapping[str, str]

    def __post_init__(self) -> None:
        if (
            self.scores.ndim != 2
            or self.scores.shape[0] != self.scores.shape[1]
            or not self.scores.size
        ):
            raise ValueError(
                "scores must be image layers by text layers, as many of each, not "
                f"{self.scores.shape}"
            )

    @property
    def num_layers(self) -> int:
        return len(self.scores)

    @property
    def full_score(self) -> float:
        return float(self.scores[-1, -1])

    def score(self, image: int, text: int) -> float:
        """Return the score with these exit layers, counted from 1."""
        return float(self.scores[image - 1, text - 1])

    def reduction(self, image: int, text: int) -> float:
        """Return the expected time reduction (Eq. 14) with these exit layers, a fraction: the
        decoder saves nothing.
        """
        return (1.0 - (image + text) / (2.0 * self.num_layers)) / 2.0

    def best_pairs(self) -> Sequence[tuple[int, int]]:
        """Return, for every reduction there is, from the largest to none, the (image, text) layers
        with the best score.

        Of equal scores the one that encodes less of the image wins: its tokens are by far the most.
        """
        layers = range(1, self.num_layers + 1)
        return [
            max(
                ((i, total - i) for i in layers if total - i in layers),
                key=lambda pair: (self.score(*pair), -pair[0]),
            )
            for total in range(2, 2 * self.num_layers + 1)
        ]

    def save(self, path: Path) -> None:
        """Write it as .npz."""
        about = {"metric": self.metric, "num_samples": self.num_samples, **self.about}
        save_arrays(path, {"scores": self.scores}, about)

    @classmethod
    def load(cls, path: Path) -> "ExitGrid":
        """Read what `save` wrote. Raises MissingStepError without the file, DataError for another
        file.
        """
        what = "scores per pair of exit layers"
        return load_arrays(path, what, "mue plot modality", cls._from_arrays)

    @classmethod
    def _from_arrays(cls, arrays: dict[str, NDArray[Any]], about: dict[str, Any]) -> "ExitGrid":
        count, metric = int(about.pop("num_samples")), str(about.pop("metric"))
        words = {str(key): str(value) for key, value in about.items()}
        return cls(arrays["scores"], metric, count, words)
