"""The exit scores of the full model: what a method's rules would compare with their thresholds,
after every layer (Eq. 7-10). Thresholds are chosen from them.

Shape letters: n samples, R rows (a sample, or one decoding step of a sample), N layers.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore
from mue_cli.inference.rows import Rows


class ScoreRows:
    """Collects an exit score after every layer of one stream, in runs of full depth.

    numbers: of the samples in the batch that is running. steps, samples: of each row so far.
    """

    def __init__(self, score: ExitScore, num_layers: int) -> None:
        self._score, self._num_layers = score, num_layers
        self._walk: list[torch.Tensor] = []
        self._rows: list[torch.Tensor] = []
        self.numbers: Sequence[int] = ()
        self.steps: list[int] = []
        self.samples: list[int] = []

    def __call__(self, observation: Observation, rows: Rows) -> None:
        self._walk.append(self._score(observation).float())
        if observation.layer == self._num_layers:
            self._rows.append(torch.stack(self._walk, 1).cpu())
            self._walk = []
            self.steps += [observation.step or 0] * len(rows.numbers)
            self.samples += [self.numbers[row] for row in rows.numbers]

    def values(self) -> NDArray[np.float64]:
        """Exit scores (R, N), in the order they came in."""
        if not self._rows:
            return np.empty((0, self._num_layers))
        return torch.cat(self._rows).numpy().astype(np.float64)

    def by_sample(self) -> NDArray[np.float64]:
        """Exit scores (n, N) of a stream that has one row for each sample."""
        return self.values()[np.argsort(self.samples)]
