"""The rule that methods share: leave once an exit score is above a threshold. What they differ in
is the score.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore


@dataclass(frozen=True)
class ThresholdRule:
    """Leave when the exit score is strictly greater than the threshold; the layer's output is kept.

    threshold: None, or above the score's largest value, never fires, whatever the decay. decay: for
    the decoder in generation; None elsewhere.
    """

    threshold: float | None
    score: ExitScore
    decay: Decay | None = None

    @property
    def can_fire(self) -> bool:
        return self.threshold is not None and self.threshold <= self.score.largest

    @property
    def full_depth_steps(self) -> int:
        """How many decoding steps, at the start, are never cut short."""
        return self.decay.full_depth_steps if self.decay else 0

    def threshold_at(self, step: int | None, num_steps: int | None) -> float:
        """Return the threshold that counts at a decoding step; outside generation it is the
        threshold itself. inf: never.
        """
        if self.threshold is None:
            return math.inf
        if self.decay is None or step is None or num_steps is None:
            return self.threshold
        if step <= self.decay.full_depth_steps:
            return math.inf
        return decayed_threshold(self.threshold, step, num_steps, self.decay.beta, self.decay.tau)

    def __call__(self, observation: Observation) -> Tensor:
        threshold = self.threshold_at(observation.step, observation.num_steps)
        if threshold > self.score.largest:
            return torch.zeros(
                len(observation.after), dtype=torch.bool, device=observation.after.device
            )
        return self.score(observation) > threshold
