"""The task loss of one layer, and how the layers' losses become one (Eq. 12-13).

Shape letters: B rows, T positions, M positions that have a target, D embed, V vocabulary, N layers.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mue_cli.model.encoder import PAD_ID


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean over M targets of cross-entropy with label smoothing as OFA has it: smoothing / (V - 1) to every wrong class.

    logits: (M, V); classes at -inf are not in the running and take no share of the smoothing. targets: (M,).
    """
    log_probs = torch.log_softmax(logits.float(), dim=1)
    wanted = log_probs.gather(1, targets[:, None]).squeeze(1)
    if smoothing == 0.0:
        return -wanted.mean()
    allowed = log_probs > float("-inf")
    others = log_probs.masked_fill(~allowed, 0.0).sum(1) - wanted
    share = smoothing / (allowed.sum(1) - 1)
    return -((1.0 - smoothing) * wanted + share * others).mean()


def layer_losses(
    states: Sequence[Tensor],
    targets: Tensor,
    logits_of: Callable[[Tensor], Tensor],
    smoothing: float,
    allowed_ids: Sequence[int] | None = None,
) -> Tensor:
    """Return (N,): the task loss of every decoder layer through the shared head (Eq. 12).

    states: N tensors (B, T, D). targets: (B, T), PAD_ID where nothing is asked. allowed_ids: tokens that compete (closed-set answers).
    """
    asked = targets.ne(PAD_ID)
    wanted = targets[asked]  # (M,)
    return torch.stack([smoothed_cross_entropy(_restrict(logits_of(state[asked]), allowed_ids), wanted, smoothing) for state in states])


def combine(losses: Tensor, how: str) -> Tensor:
    """Combine the layers' losses (N,): `mean` (Eq. 13), `sum` (the release) or `last` (plain fine-tuning, no multiple exits)."""
    if how == "last":
        return losses[-1]
    return losses.mean() if how == "mean" else losses.sum()


def _restrict(logits: Tensor, allowed_ids: Sequence[int] | None) -> Tensor:
    if allowed_ids is None:
        return logits
    forbidden = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
    forbidden[list(allowed_ids)] = False
    return logits.masked_fill(forbidden, float("-inf"))
