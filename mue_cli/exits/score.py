"""An exit score: one number per row after each layer, from which a rule decides.

Shape letters: B rows, D embed, V classes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from mue_cli.exits.observation import Observation


@dataclass(frozen=True)
class ExitScore:
    """The number that a threshold bounds: the larger, the sooner a row may leave.

    compute: (B,) of an observation. source: what it is computed from; logits cost a head.
    flops_per_value: operations on each value of it, D of a position's state or V of its logits.
    largest: no score is above it, so a threshold above it never fires.
    """

    name: str
    compute: Callable[[Observation], Tensor]
    source: Literal["states", "logits"]
    flops_per_value: float
    largest: float = 1.0

    def __call__(self, observation: Observation) -> Tensor:
        """Return (B,), the score of every row that is running."""
        return self.compute(observation)
