"""The rule that most methods share: leave once a statistic of the layer is above a threshold. What
they differ in is the statistic.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.exits.observation import LooksAt, Observation

Statistic = Callable[[Observation], Tensor]
"""Returns one number per row, (B,) float32, at most 1: the larger, the sooner the row may leave."""


@dataclass(frozen=True)
class ThresholdRule:
    """Leave when the statistic is strictly greater than the threshold; the layer's output is kept.

    threshold: above 1 never fires, whatever the decay. looks_at: what the statistic is computed
    from. decay: for the decoder in generation; None elsewhere.
    """

    threshold: float
    statistic: Statistic
    looks_at: LooksAt
    decay: Decay | None = None

    @property
    def can_fire(self) -> bool:
        return self.threshold <= 1.0

    def threshold_at(self, step: int | None, num_steps: int | None) -> float:
        """Return the threshold that counts at a decoding step; outside generation it is the
        threshold itself.
        """
        if self.decay is None or step is None or num_steps is None:
            return self.threshold
        if step <= self.decay.full_depth_steps:
            return math.inf
        return decayed_threshold(self.threshold, step, num_steps, self.decay.beta, self.decay.tau)

    def __call__(self, observation: Observation) -> Tensor:
        threshold = self.threshold_at(observation.step, observation.num_steps)
        if threshold > 1.0:
            return torch.zeros(
                len(observation.after), dtype=torch.bool, device=observation.after.device
            )
        return self.statistic(observation) > threshold
