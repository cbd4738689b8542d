"""What reading the decoder's states out costs: once per step for the answer, and once per layer where a rule looks at answers.

Logits that the rule saw at the exit layer are the step's answer, so they are not counted twice.
"""

from collections.abc import Callable
from dataclasses import dataclass

from mue_cli.exits.trace import Trace

SOFTMAX_FLOPS_PER_CLASS = 5  # largest, difference, exponential, sum, division


@dataclass(frozen=True)
class Reading:
    """macs: multiply-adds of reading one position out after a layer (1-based). num_classes: of what is read.

    by_rule: the decoder's rule reads every layer that it is asked about, and takes a softmax of it.
    """

    macs: Callable[[int], int]
    num_classes: int
    by_rule: bool = False

    def answer_flops(self, trace: Trace) -> float:
        """Return the operations of the readings that answer, one a step and hypothesis."""
        return 2.0 * sum(hyps * self.macs(exit_layer) for exit_layer, hyps in zip(trace.decoder_exits, trace.num_hypotheses, strict=True))

    def rule_flops(self, trace: Trace, num_layers: int) -> float:
        """Return what the rule's own readings cost on top: of the layers below the exit, and a softmax wherever it was asked."""
        if not self.by_rule:
            return 0.0
        total = 0.0
        for exit_layer, hypotheses in zip(trace.decoder_exits, trace.num_hypotheses, strict=True):
            below = 2.0 * sum(map(self.macs, range(1, exit_layer)))
            softmax = SOFTMAX_FLOPS_PER_CLASS * self.num_classes * min(exit_layer, num_layers - 1)
            total += hypotheses * (below + softmax)
        return total
