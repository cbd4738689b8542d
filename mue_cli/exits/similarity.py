"""MuE's rule: a row leaves once a layer hardly changes its state (Eq. 7-10, Algorithm 1), with Eq. 11's decay in generation.

Paper: cosine similarity of a layer's output and the layer before.
Release: one similarity for the whole batch, padding and all beams included.
Here: one per sample, over its non-padding positions (a beam's hypotheses together), because its exit must not depend on its neighbours.

Shape letters: B rows, T positions, D embed.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from mue_cli.exits.observation import Observation

EPSILON = 1e-12


def similarity(before: Tensor, after: Tensor, padding_mask: Tensor | None = None) -> Tensor:
    """Return (B,) float32: cosine of the flattened (T * D) states of each row, in [-1, 1] (Eq. 7-10).

    before, after: (B, T, D). padding_mask: (B, T) bool, True where a position does not count.
    """
    before, after = before.float(), after.float()
    if padding_mask is not None:
        keep = ~padding_mask[:, :, None]
        before, after = before * keep, after * keep
    dot = (before * after).sum((1, 2))
    norms = before.square().sum((1, 2)) * after.square().sum((1, 2))
    return (dot * norms.clamp_min(EPSILON).rsqrt()).clamp(-1.0, 1.0)


def decayed_threshold(threshold: float, step: int, num_steps: int, beta: float, tau: float) -> float:
    """Return Theta(t) = beta * theta + (1 - beta) * exp(-tau * t / N) for step t = 1..N (Eq. 11)."""
    return beta * threshold + (1.0 - beta) * math.exp(-tau * step / num_steps)


@dataclass(frozen=True)
class Decay:
    """beta, tau: Eq. 11. full_depth_steps: steps at the start that are never cut short (paper: none; release: a third of them)."""

    beta: float = 0.9
    tau: float = 1.0
    full_depth_steps: int = 0


@dataclass(frozen=True)
class SimilarityRule:
    """Leave when the similarity is strictly greater than the threshold; the layer's output is kept.

    threshold: above 1 never fires, whatever the decay. decay: for the decoder in generation; None elsewhere.
    """

    threshold: float
    decay: Decay | None = None

    @property
    def can_fire(self) -> bool:
        return self.threshold <= 1.0

    def threshold_at(self, step: int | None, num_steps: int | None) -> float:
        """Return the threshold that counts at a decoding step; outside generation it is the threshold itself."""
        if self.decay is None or step is None or num_steps is None:
            return self.threshold
        if step <= self.decay.full_depth_steps:
            return math.inf
        return decayed_threshold(self.threshold, step, num_steps, self.decay.beta, self.decay.tau)

    def __call__(self, observation: Observation) -> Tensor:
        threshold = self.threshold_at(observation.step, observation.num_steps)
        if threshold > 1.0:
            return torch.zeros(len(observation.after), dtype=torch.bool, device=observation.after.device)
        return similarity(observation.before, observation.after, observation.padding_mask) > threshold
