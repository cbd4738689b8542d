"""The decaying threshold of generation (Eq. 11; Schuster et al., NeurIPS 2022, have it with tau =
4): late words leave more easily.
"""

import math
from dataclasses import dataclass


def decayed_threshold(
    threshold: float, step: int, num_steps: int, beta: float, tau: float
) -> float:
    """Return Theta(t) = beta * theta + (1 - beta) * exp(-tau * t / N), t = 1..N (Eq. 11)."""
    return beta * threshold + (1.0 - beta) * math.exp(-tau * step / num_steps)


@dataclass(frozen=True)
class Decay:
    """beta, tau: Eq. 11. full_depth_steps: steps at the start that are never cut short (paper:
    none; release: a third of them).
    """

    beta: float = 0.9
    tau: float = 1.0
    full_depth_steps: int = 0
