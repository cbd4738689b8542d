"""MuE's exit score: how little a layer changes a row's state (Eq. 7-10, Algorithm 1).

Paper: cosine similarity of a layer's output and the layer before.
Release: one similarity for the whole batch, padding and all beams included.
Here: one per sample, over its non-padding positions (a beam's hypotheses together), because its
exit must not depend on its neighbours.

Shape letters: B rows, T positions, D embed.
"""

from torch import Tensor

from mue_cli.exits.observation import Observation
from mue_cli.exits.score import ExitScore

EPSILON = 1e-12
COSINE_FLOPS = 6
"""Operations per value: three products, before * after, before^2 and after^2, each with its sum."""


def similarity(before: Tensor, after: Tensor, padding_mask: Tensor | None = None) -> Tensor:
    """Return (B,) float32: cosine of the flattened (T * D) states of each row, in [-1, 1] (Eq.
    7-10).

    before, after: (B, T, D). padding_mask: (B, T) bool, True where a position does not count.
    """
    dot, first, second = moments(before, after, padding_mask)
    norms = first * second
    return (dot * norms.clamp_min(EPSILON).rsqrt()).clamp(-1.0, 1.0)


def moments(
    before: Tensor, after: Tensor, padding_mask: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Return before . after, |before|^2 and |after|^2 of each row's flattened states, (B,) float32.

    Arguments as in `similarity`.
    """
    before, after = before.float(), after.float()
    if padding_mask is not None:
        keep = ~padding_mask[:, :, None]
        before, after = before * keep, after * keep
    dot = (before * after).sum((1, 2))
    return dot, before.square().sum((1, 2)), after.square().sum((1, 2))


def _of_layer(layer: Observation) -> Tensor:
    return similarity(layer.before, layer.after, layer.padding_mask)


SIMILARITY = ExitScore("similarity", _of_layer, "states", COSINE_FLOPS)
