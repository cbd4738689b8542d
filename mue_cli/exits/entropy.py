"""DeeBERT's exit score: how certain a layer's own classifier is (Xin et al., ACL 2020).

Original: leave when the entropy of the prediction is below a threshold S, in nats.
Here: leave when the certainty 1 - entropy / log V is above a threshold, so that every method reads
alike; S = (1 - threshold) log V.

Shape letters: B rows, T positions read out (a beam's hypotheses), V classes.
"""

import math

from torch import Tensor

from mue_cli.exits.score import ExitScore

ENTROPY_FLOPS = 5
"""Operations per class, counted as a softmax: the sum over p log p is its last step's."""


def certainty(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: 1 - entropy / log V of each row, the mean over its T positions.

    logits: (B, T, V).
    """
    log_probs = logits.float().log_softmax(2)
    entropy = -(log_probs.exp() * log_probs).sum(2)
    return 1.0 - entropy.mean(1) / math.log(logits.shape[2])


CERTAINTY = ExitScore("certainty", lambda layer: certainty(layer.logits()), "logits", ENTROPY_FLOPS)
