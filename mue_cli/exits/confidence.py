"""Rules by the softmax of a layer's answer: DeeCap's confidence (Fei et al., CVPR 2022), CALM's
margin (Schuster et al., NeurIPS 2022).

Shape letters: B rows, T positions read out (a beam's hypotheses), V classes.
"""

from torch import Tensor

from mue_cli.exits.decay import Decay
from mue_cli.exits.observation import Observation
from mue_cli.exits.threshold import ThresholdRule


def confidence(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: the largest probability, the mean over a row's T positions. logits:
    (B, T, V).
    """
    return logits.float().softmax(2).amax(2).mean(1)


def margin(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: the largest probability less the second, the mean over a row's T
    positions. logits: (B, T, V).
    """
    first, second = logits.float().softmax(2).topk(2, dim=2).values.unbind(2)
    return (first - second).mean(1)


def layer_confidence(observation: Observation) -> Tensor:
    """Return (B,): the confidence of the layer's answer."""
    return confidence(observation.logits())


def layer_margin(observation: Observation) -> Tensor:
    """Return (B,): the margin of the layer's answer."""
    return margin(observation.logits())


def confidence_rule(threshold: float) -> ThresholdRule:
    """Return DeeCap's rule."""
    return ThresholdRule(threshold, layer_confidence, "logits")


def margin_rule(threshold: float, decay: Decay | None = None) -> ThresholdRule:
    """Return CALM's rule; decay: its decaying threshold, which is Eq. 11."""
    return ThresholdRule(threshold, layer_margin, "logits", decay)
