"""What a method's rules would have seen after every layer of the full model: the numbers that
thresholds are chosen from (Eq. 7-10).

Shape letters: B rows, N layers.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch

from mue_cli.data.batches import Batch
from mue_cli.evaluation.predict import Prediction, Progress, Subject, predict
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation, Rule
from mue_cli.exits.patience import PatienceRule, agreement
from mue_cli.exits.threshold import Statistic, ThresholdRule
from mue_cli.inference.walk import Rows


@dataclass(frozen=True)
class Profiles:
    """streams: stream -> (rows, N), at most 1. steps: the decoding step of each of the decoder's
    rows. predictions: of the full model.
    """

    streams: Mapping[str, np.ndarray]
    steps: Sequence[int]
    predictions: Sequence[Prediction]


def measure_profiles(
    subject: Subject, method: Method, batches: Iterable[Batch], progress: Progress | None = None
) -> Profiles:
    """Run every layer, and return after each the statistic that the method's rules compare with
    their thresholds.

    Of a patience rule it is the number of layers that have agreed, as a fraction of the decoder's
    layers.
    """
    num_layers = subject.model.config.num_decoder_layers
    probes = {stream: _Probe(_statistic(rule, num_layers)) for stream, rule in method.rules.items()}
    predictions = predict(subject, replace(method, rules={}), batches, probes, progress)
    steps = probes["decoder"].steps if "decoder" in probes else []
    return Profiles(
        {stream: probe.values() for stream, probe in probes.items()}, steps, predictions
    )


def _statistic(rule: Rule, num_layers: int) -> Statistic:
    if isinstance(rule, PatienceRule):
        return lambda observation: agreement(observation) / num_layers
    assert isinstance(rule, ThresholdRule)
    return rule.statistic


class _Probe:
    """Collects a statistic after every layer of one stream, in runs of full depth."""

    def __init__(self, statistic: Statistic) -> None:
        self._statistic = statistic
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
        self._walk.append(self._statistic(observation))

    def values(self) -> np.ndarray:
        """Return (rows, N): a row is a sample, of the decoder one step of one sample."""
        return torch.cat([*self._rows, torch.stack(self._walk, 1)]).cpu().numpy()
