"""What one layer did: all that a rule may look at.

Shape letters: B rows (samples still running), T positions (tokens of a stream, or the hypotheses of a beam), D embed.
"""

from dataclasses import dataclass
from typing import Protocol

from torch import Tensor


@dataclass(frozen=True)
class Observation:
    """One layer's work on the rows that are still running.

    layer: number of the layer that just ran, 1-based.
    before, after: hidden state entering and leaving the layer, each (B, T, D).
    padding_mask: (B, T) bool, True where a position is padding; None when there is none.
    step: decoding step t of Eq. 11, 1-based; None outside generation.
    num_steps: N of Eq. 11, the largest number of steps; None outside generation.
    """

    layer: int
    before: Tensor
    after: Tensor
    padding_mask: Tensor | None = None
    step: int | None = None
    num_steps: int | None = None


class Rule(Protocol):
    """Decide per row whether it leaves after the layer that was observed.

    can_fire is False for a rule that never lets a row go: the walk then asks nothing and computes nothing for it.
    """

    @property
    def can_fire(self) -> bool: ...

    def __call__(self, observation: Observation) -> Tensor:
        """Return (B,) bool, True for the rows that leave now and keep the state `after`."""
        ...
