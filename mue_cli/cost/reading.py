"""What reading the decoder's states out costs: once per step for the answer, and once per layer
where a rule looks at answers.

Logits that the rule saw at the exit layer are the step's answer, so they are not counted twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mue_cli.exits.trace import Trace

SOFTMAX_FLOPS_PER_CLASS = 5  # largest, difference, exponential, sum, division
ARGMAX_FLOPS_PER_CLASS = 1


@dataclass(frozen=True)
class Reading:
    """macs: multiply-adds of reading one position out after a layer (1-based). num_classes: of what
    is read.

    by_rule: the decoder's rule reads every layer that it is asked about. per_class: what it then
    computes of each class's logit.
    """

    macs: Callable[[int], int]
    num_classes: int
    by_rule: bool = False
    per_class: int = SOFTMAX_FLOPS_PER_CLASS

    def answer_flops(self, trace: Trace) -> float:
        """Return the operations of the readings that answer, one a step and hypothesis."""
        return 2.0 * sum(
            hyps * self.macs(exit_layer)
            for exit_layer, hyps in zip(trace.decoder_exits, trace.num_hypotheses, strict=True)
        )

    def below_flops(self, trace: Trace, unasked_steps: int = 0) -> float:
        """Return what the rule's own readings cost on top: of the layers below the exit, in steps
        where it was asked.
        """
        return 2.0 * sum(
            hyps * sum(map(self.macs, range(1, exit_layer)))
            for exit_layer, hyps in self._asked(trace, unasked_steps)
        )

    def deciding_flops(self, trace: Trace, num_layers: int, unasked_steps: int = 0) -> float:
        """Return what the rule computes of the logits it was shown."""
        shown = sum(
            hyps * min(exit_layer, num_layers - 1)
            for exit_layer, hyps in self._asked(trace, unasked_steps)
        )
        return float(self.per_class * self.num_classes * shown)

    def weights_read(self, trace: Trace, unasked_steps: int = 0) -> int:
        """Return how many weights all readings take from memory, one number for each multiply-add
        of a position.
        """
        below = sum(
            sum(map(self.macs, range(1, exit_layer)))
            for exit_layer, _ in self._asked(trace, unasked_steps)
        )
        return below + sum(map(self.macs, trace.decoder_exits))

    def _asked(self, trace: Trace, unasked_steps: int) -> list[tuple[int, int]]:
        """Return exit layer and hypotheses of the steps in which the rule read anything."""
        if not self.by_rule:
            return []
        return list(zip(trace.decoder_exits, trace.num_hypotheses, strict=True))[unasked_steps:]
