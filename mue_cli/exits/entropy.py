"""DeeBERT's rule: a row leaves once a layer's own classifier is certain (Xin et al., ACL 2020).

Original: leave when the entropy of the prediction is below a threshold S, in nats.
Here: leave when the certainty 1 - entropy / log V is above a threshold, so that every method reads
alike; S = (1 - threshold) log V.

Shape letters: B rows, T positions read out (a beam's hypotheses), V classes.
"""

import math

from torch import Tensor

from mue_cli.exits.observation import Observation
from mue_cli.exits.threshold import ThresholdRule


def certainty(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: 1 - entropy / log V of each row, the mean over its T positions.
    logits: (B, T, V).
    """
    log_probs = logits.float().log_softmax(2)
    entropy = -(log_probs.exp() * log_probs).sum(2)
    return 1.0 - entropy.mean(1) / math.log(logits.shape[2])


def layer_certainty(observation: Observation) -> Tensor:
    """Return (B,): how certain the layer's answer is."""
    return certainty(observation.logits())


def entropy_rule(threshold: float) -> ThresholdRule:
    """Return DeeBERT's rule."""
    return ThresholdRule(threshold, layer_certainty, "logits")
