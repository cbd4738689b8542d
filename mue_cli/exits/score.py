"""An exit score: one number per row after each layer, from which a rule decides.

Shape letters: B rows, D embed, V classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Literal

from torch import Tensor

from mue_cli.exits.observation import Observation

Compute = Callable[[Observation], Tensor]


@dataclass(frozen=True)
class ExitScore:
    """The number that a threshold bounds: the larger, the sooner a row may leave.

    compute: (B,) of an observation. source: what it is computed from; logits cost a head.
    flops_per_value: operations on each value of it, D of a position's state or V of its logits.
    largest: no score is above it, so a threshold above it never fires. flops_per_row: operations on
    top, for each row. bind: of a score that was learned, what computes it with the weights that the
    method's exit head has for a stream.
    """

    name: str
    compute: Compute
    source: Literal["states", "logits"]
    flops_per_value: float
    largest: float = 1.0
    flops_per_row: float = 0.0
    bind: Callable[[object, str], Compute] | None = None

    def __call__(self, observation: Observation) -> Tensor:
        """Return (B,), the score of every row that is running."""
        return self.compute(observation)

    def of(self, head: object, stream: str) -> "ExitScore":
        """Return the score with the weights that an exit head has for a stream, if it needs any."""
        return self if self.bind is None else replace(self, compute=self.bind(head, stream))
