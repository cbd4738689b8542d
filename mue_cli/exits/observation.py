"""What one layer did: all that a rule may look at.

Shape letters: B rows (samples still running), T positions (tokens of a stream, or the hypotheses of
a beam), D embed, V classes.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from torch import Tensor

if TYPE_CHECKING:
    from mue_cli.exits.score import ExitScore


def _no_logits() -> Tensor:
    raise ValueError("this stream is not read out: only the decoder's states become logits")


@dataclass(frozen=True)
class Observation:
    """One layer's work on the rows that are still running.

    layer: number of the layer that just ran, 1-based.
    before, after: hidden state entering and leaving the layer, each (B, T, D).
    padding_mask: (B, T) bool, True where a position is padding; None when there is none.
    step: decoding step t of Eq. 11, 1-based; None outside generation.
    num_steps: N of Eq. 11, the largest number of steps; None outside generation.
    logits: reads `after` out with the method's exit head, (B, T', V): T' hypotheses, or the one
        position that answers. Computed once.
    memory: what an exit score keeps from layer to layer, tensors of B rows; the walk drops the rows
        that left.
    """

    layer: int
    before: Tensor
    after: Tensor
    padding_mask: Tensor | None = None
    step: int | None = None
    num_steps: int | None = None
    logits: Callable[[], Tensor] = _no_logits
    memory: dict[str, Tensor] = field(default_factory=dict)


class Rule(Protocol):
    """A decision per row whether it leaves after the layer that was observed.

    can_fire: False for a rule that never lets a row go: the walk then asks nothing and computes
    nothing for it. score: what it decides from; None for a rule that looks at nothing.
    full_depth_steps: decoding steps, at the start, in which it decides nothing.
    """

    @property
    def can_fire(self) -> bool: ...

    @property
    def score(self) -> "ExitScore | None": ...

    @property
    def full_depth_steps(self) -> int: ...

    def __call__(self, observation: Observation) -> Tensor:
        """Return (B,) bool, True for the rows that leave now and keep the state `after`."""
        ...


@dataclass(frozen=True)
class RuleAround:
    """A rule that stands around another: it fires, scores and waits as that one does. What it does
    when called is its subclass's matter.
    """

    rule: Rule

    @property
    def can_fire(self) -> bool:
        return self.rule.can_fire

    @property
    def score(self) -> "ExitScore | None":
        return self.rule.score

    @property
    def full_depth_steps(self) -> int:
        return self.rule.full_depth_steps
