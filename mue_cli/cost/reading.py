"""What reading the decoder's states out costs: once per step for the answer, and once per layer
where a rule looks at answers.

Logits that the rule saw at the exit layer are the step's answer, so they are not counted twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mue_cli.exits.trace import Trace


@dataclass(frozen=True)
class Reading:
    """The readings of one method.

    macs: multiply-adds of reading one position out after a layer (1-based). num_classes: that are
    read. by_rule: the decoder's rule reads every layer after which it decides. flops_per_class:
    what its exit score then computes of each class's logit. full_depth_steps: at the start, in
    which the rule decides nothing and so reads nothing.
    """

    macs: Callable[[int], int]
    num_classes: int
    by_rule: bool = False
    flops_per_class: float = 0.0
    full_depth_steps: int = 0

    def answer_flops(self, trace: Trace) -> float:
        """Return the operations of the readings that answer, one a step and hypothesis."""
        return 2.0 * sum(hyps * self.macs(exit_layer) for exit_layer, hyps in _steps(trace))

    def below_flops(self, trace: Trace) -> float:
        """Return what the rule's own readings cost on top: of the layers below the exit."""
        return 2.0 * sum(
            hyps * sum(map(self.macs, range(1, exit_layer)))
            for exit_layer, hyps in self._read_steps(trace)
        )

    def score_flops(self, trace: Trace, num_layers: int) -> float:
        """Return what the exit score computes of the logits that were read."""
        num_read = sum(
            hyps * min(exit_layer, num_layers - 1) for exit_layer, hyps in self._read_steps(trace)
        )
        return float(self.flops_per_class * self.num_classes * num_read)

    def weights_read(self, trace: Trace) -> int:
        """Return how many weights all readings take from memory, one number for each multiply-add
        of a position.
        """
        below = sum(
            sum(map(self.macs, range(1, exit_layer))) for exit_layer, _ in self._read_steps(trace)
        )
        return below + sum(map(self.macs, trace.decoder_exits))

    def _read_steps(self, trace: Trace) -> list[tuple[int, int]]:
        """Return exit layer and hypotheses of the steps in which the rule read anything."""
        return _steps(trace)[self.full_depth_steps :] if self.by_rule else []


def _steps(trace: Trace) -> list[tuple[int, int]]:
    return list(zip(trace.decoder_exits, trace.num_hypotheses, strict=True))
