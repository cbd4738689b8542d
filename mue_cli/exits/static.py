"""Rules that do not look: never leave, or leave after a fixed layer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.observation import LooksAt, Observation


@dataclass(frozen=True)
class NeverRule:
    """Run every layer. The full model is this rule on the same walk as every other method."""

    can_fire: bool = False
    looks_at: LooksAt = "nothing"

    def __call__(self, observation: Observation) -> Tensor:
        return torch.zeros(
            len(observation.after), dtype=torch.bool, device=observation.after.device
        )


@dataclass(frozen=True)
class StaticRule:
    """Leave after layer `layer` (1-based), whatever it did."""

    layer: int
    can_fire: bool = True
    looks_at: LooksAt = "nothing"

    def __call__(self, observation: Observation) -> Tensor:
        leaves = observation.layer >= self.layer
        return torch.full(
            (len(observation.after),), leaves, dtype=torch.bool, device=observation.after.device
        )
