"""Rules that do not look: never leave, or leave after a fixed layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.observation import Observation


@dataclass(frozen=True)
class NeverRule:
    """Every layer runs. The full model is this rule on the same walk as every other method."""

    can_fire: bool = False
    score: None = None
    full_depth_steps: int = 0

    def __call__(self, observation: Observation) -> Tensor:
        return _all_rows(observation, False)


@dataclass(frozen=True)
class StaticRule:
    """Leave after layer `layer` (1-based), whatever it did."""

    layer: int
    can_fire: bool = True
    score: None = None
    full_depth_steps: int = 0

    def __call__(self, observation: Observation) -> Tensor:
        return _all_rows(observation, observation.layer >= self.layer)


def _all_rows(observation: Observation, leave: bool) -> Tensor:
    after = observation.after
    return torch.full((len(after),), leave, dtype=torch.bool, device=after.device)
