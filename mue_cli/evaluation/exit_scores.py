"""The exit scores of the full model: what a method's rules would compare with their thresholds,
after every layer (Eq. 7-10). Thresholds are chosen from them.

Shape letters: R rows (a sample, or one decoding step of a sample), N layers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Prediction, Predictor, Progress, predict
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore
from mue_cli.inference.walk import Rows


@dataclass(frozen=True)
class ExitScores:
    """Exit scores by stream, (R, N) each.

    steps: the decoding step of each of the decoder's rows. predictions: the full model's.
    """

    streams: Mapping[str, np.ndarray]
    steps: Sequence[int]
    predictions: Sequence[Prediction]


def measure_exit_scores(
    predictor: Predictor, method: Method, batches: Iterable[Batch], progress: Progress | None = None
) -> ExitScores:
    """Run every layer and return the score of each of the method's rules after it."""
    scores = {stream: rule.score for stream, rule in method.rules.items()}
    probes = {stream: _Probe(score) for stream, score in scores.items() if score is not None}
    predictions = predict(predictor, replace(method, rules={}), batches, probes, progress)
    steps = probes["decoder"].steps if "decoder" in probes else []
    return ExitScores({name: probe.values() for name, probe in probes.items()}, steps, predictions)


class _Probe:
    """Collects a score after every layer of one stream, in runs of full depth."""

    def __init__(self, score: ExitScore) -> None:
        self._score = score
        self._walk: list[torch.Tensor] = []
        self._rows: list[torch.Tensor] = []
        self.steps: list[int] = []
        """The decoding step of each row, from 1; 0 outside generation."""

    def __call__(self, observation: Observation, rows: Rows) -> None:
        if observation.layer == 1 and self._walk:
            self._rows.append(torch.stack(self._walk, 1))
            self._walk = []
        if observation.layer == 1:
            self.steps += [observation.step or 0] * len(observation.after)
        self._walk.append(self._score(observation).float())

    def values(self) -> np.ndarray:
        """Return (R, N): a row is a sample, of the decoder one step of one sample."""
        return torch.cat([*self._rows, torch.stack(self._walk, 1)]).cpu().numpy()
