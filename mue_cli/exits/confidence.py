"""Exit scores by the softmax of a layer's answer: DeeCap's confidence (Fei et al., CVPR 2022) and
CALM's margin (Schuster et al., NeurIPS 2022).

Shape letters: B rows, T positions read out (a beam's hypotheses), V classes.
"""

from torch import Tensor

from mue_cli.exits.score import ExitScore

SOFTMAX_FLOPS = 5
"""Operations per class: largest, difference, exponential, sum, division."""


def confidence(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: the largest probability, the mean over a row's T positions.

    logits: (B, T, V).
    """
    return logits.float().softmax(2).amax(2).mean(1)


def margin(logits: Tensor) -> Tensor:
    """Return (B,) in [0, 1]: the largest probability less the second, the mean over a row's T
    positions.

    logits: (B, T, V).
    """
    first, second = logits.float().softmax(2).topk(2, dim=2).values.unbind(2)
    return (first - second).mean(1)


CONFIDENCE = ExitScore(
    "confidence", lambda layer: confidence(layer.logits()), "logits", SOFTMAX_FLOPS
)
MARGIN = ExitScore("margin", lambda layer: margin(layer.logits()), "logits", SOFTMAX_FLOPS)
