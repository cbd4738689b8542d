"""The task loss of one layer, how the layers' losses become one (Eq. 12-13), and what imitated
states are compared with.

Shape letters: B rows, T positions, M positions that have a target, D embed, V classes (the
vocabulary, or the answers), N layers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mue_cli.model.encoder import PAD_ID

Read = Callable[[Tensor, int], Tensor]
"""read(states, layer): logits (M, V) of states (M, D) that a layer left, 1-based."""


@dataclass(frozen=True)
class Asked:
    """The positions that have a target. states: N tensors (M, D), one per layer. targets: (M,)."""

    states: Sequence[Tensor]
    targets: Tensor


def asked(states: Sequence[Tensor], targets: Tensor, answer_ids: Sequence[int] = ()) -> Asked:
    """Keep the positions of states (B, T, D) where targets (B, T) are not PAD_ID.

    answer_ids: the tokens of a closed set; targets become their places in it, 0..A - 1.
    """
    where = targets.ne(PAD_ID)
    wanted = targets[where]
    if answer_ids:
        wanted = (wanted[:, None] == torch.tensor(answer_ids, device=wanted.device)).nonzero()[:, 1]
    return Asked([state[where] for state in states], wanted)


def smoothed_cross_entropy(logits: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return the mean over M targets of cross-entropy with label smoothing as OFA has it: smoothing
    / (V - 1) to every wrong class.

    logits: (M, V); classes at -inf are not in the running and take no share of the smoothing.
    targets: (M,).
    """
    log_probs = torch.log_softmax(logits.float(), dim=1)
    wanted = log_probs.gather(1, targets[:, None]).squeeze(1)
    if smoothing == 0.0:
        return -wanted.mean()
    allowed = log_probs > float("-inf")
    others = log_probs.masked_fill(~allowed, 0.0).sum(1) - wanted
    share = smoothing / (allowed.sum(1) - 1)
    return -((1.0 - smoothing) * wanted + share * others).mean()


def read_losses(found: Asked, read: Read, smoothing: float) -> Tensor:
    """Return (N,): the task loss of every layer whose states are given, through the readout of that
    layer.
    """
    return torch.stack(
        [
            smoothed_cross_entropy(read(state, layer), found.targets, smoothing)
            for layer, state in enumerate(found.states, start=1)
        ]
    )


def layer_losses(
    states: Sequence[Tensor],
    targets: Tensor,
    logits_of: Callable[[Tensor], Tensor],
    smoothing: float,
    allowed_ids: Sequence[int] = (),
) -> Tensor:
    """Return (N,): the task loss of every decoder layer through the shared head (Eq. 12).

    states: N tensors (B, T, D). targets: (B, T), PAD_ID where nothing is asked. allowed_ids: tokens
    that compete (closed-set answers).
    """
    return read_losses(
        asked(states, targets), lambda state, _: _restrict(logits_of(state), allowed_ids), smoothing
    )


def combine(losses: Tensor, how: str) -> Tensor:
    """Combine the layers' losses (N,).

    `mean` (Eq. 13), `sum` (the release), `weighted` (layer i counts i times: PABEE, CALM) or `last`
    (plain fine-tuning, no multiple exits).
    """
    match how:
        case "mean":
            return losses.mean()
        case "weighted":
            weights = torch.arange(1, len(losses) + 1, device=losses.device, dtype=losses.dtype)
            return (weights * losses).sum() / weights.sum()
        case "last":
            return losses[-1]
        case _:
            return losses.sum()


def imitation_loss(imitated: Sequence[Tensor], real: Sequence[Tensor]) -> Tensor:
    """Return the mean over all pairs of layers i < m, and over positions, of 1 - cosine of layer
    m's state as layer i imitates it.

    imitated: of layers i = 1..N - 1, (N - i, M, D): layers i + 1..N as seen from i. real: N tensors
    (M, D), not moved by this loss.
    """
    pairs = [
        (state, real[layer + number].detach())
        for layer, states in enumerate(imitated, start=1)
        for number, state in enumerate(states)
    ]
    return torch.stack(
        [1.0 - F.cosine_similarity(state, wanted, dim=-1).mean() for state, wanted in pairs]
    ).mean()


def _restrict(logits: Tensor, allowed_ids: Sequence[int]) -> Tensor:
    if not allowed_ids:
        return logits
    forbidden = torch.ones(logits.shape[1], dtype=torch.bool, device=logits.device)
    forbidden[list(allowed_ids)] = False
    return logits.masked_fill(forbidden, float("-inf"))
