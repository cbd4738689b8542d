"""Task losses of the layers, what each counts (Eq. 12-13), and what imitated states are compared
with.

Shape letters: B rows, T positions, M positions that have a target, D embed, V classes (the
vocabulary, or the answers), N layers.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from mue_cli.model.encoder import PAD_ID
from mue_cli.training.head_loss import head_loss, position_losses


@dataclass(frozen=True)
class Positions:
    """The positions that have a target. states: (N, M, D), by layer. targets: (M,)."""

    states: Tensor
    targets: Tensor


@dataclass(frozen=True)
class Loss:
    """total: what is minimised. layers: (N,), the task loss of each layer, NaN where a layer was
    not read.
    """

    total: Tensor
    layers: Tensor


@dataclass(frozen=True)
class LossForm:
    """smoothing: of labels. drop_worst: share of a layer's positions, those of the largest loss,
    that do not count (OFA: a fifth, late in training). distillation: share of the early layers'
    loss that the last layer's probabilities give.
    """

    smoothing: float = 0.0
    drop_worst: float = 0.0
    distillation: float = 0.0


def positions(
    states: Sequence[Tensor], targets: Tensor, answer_ids: Sequence[int] = ()
) -> Positions:
    """Keep the positions of states (B, T, D) where targets (B, T) are not PAD_ID.

    answer_ids: the tokens of a closed set; targets become their places in it, 0..A - 1. Targets may
    still be on the CPU: counting them there does not wait for a GPU.
    """
    device = states[0].device
    where = targets.ne(PAD_ID).flatten().nonzero()[:, 0]
    wanted = targets.flatten()[where]
    if answer_ids:
        wanted = (wanted[:, None] == torch.tensor(answer_ids, device=wanted.device)).nonzero()[:, 1]
    rows = where.to(device)
    kept = [state.flatten(0, 1).index_select(0, rows) for state in states]
    return Positions(torch.stack(kept), wanted.to(device))


def layer_weights(how: str, num_layers: int) -> list[float]:
    """Return what each layer's loss counts.

    `mean` (Eq. 13), `sum` (the release), `weighted` (layer i counts i times: PABEE, CALM) or `last`
    (plain fine-tuning, no multiple exits).
    """
    match how:
        case "mean":
            return [1.0 / num_layers] * num_layers
        case "weighted":
            total = num_layers * (num_layers + 1) / 2
            return [layer / total for layer in range(1, num_layers + 1)]
        case "last":
            return [0.0] * (num_layers - 1) + [1.0]
        case _:
            return [1.0] * num_layers


def task_loss(
    hidden: Sequence[Tensor],
    heads: Sequence[Tensor],
    targets: Tensor,
    weights: Sequence[float],
    form: LossForm,
    gains: Tensor | None = None,
) -> Loss:
    """Return the weighted loss of the layers; those that count nothing are not read.

    hidden: per layer (M, D), after its head's norm. heads: per layer (V, D), or one for all layers.
    targets: (M,). gains: (M,), what each position's loss is multiplied by; None for 1.
    """
    read = [layer for layer, weight in enumerate(weights) if weight > 0.0]
    layers = [torch.full((), torch.nan, device=targets.device)] * len(weights)
    groups = [read] if len(heads) == 1 else [[layer] for layer in read]
    total = torch.zeros((), device=targets.device)
    for group in groups:
        part = torch.stack([hidden[layer] for layer in group])  # (n, M, D)
        head = heads[0] if len(heads) == 1 else heads[group[0]]
        counts = torch.tensor([weights[layer] for layer in group], device=targets.device)
        shares = _shares(part, head, targets, counts, form)
        shares = shares if gains is None else shares * gains
        summed, losses = head_loss(part, head, targets, shares, form.smoothing, form.distillation)
        total = total + summed
        for layer, value in zip(group, losses.mean(1), strict=True):
            layers[layer] = value
    return Loss(total, torch.stack(layers))


def _shares(
    hidden: Tensor, head: Tensor, targets: Tensor, counts: Tensor, form: LossForm
) -> Tensor:
    """Return (n, M), what each position's loss counts: a layer's share over its positions, or over
    those of the smallest loss.
    """
    num_positions = len(targets)
    if form.drop_worst == 0.0:
        return (counts / num_positions)[:, None].expand(-1, num_positions)
    kept = max(1, int(num_positions * (1.0 - form.drop_worst)))
    losses = position_losses(hidden, head, targets, form.smoothing)
    smallest = losses.topk(kept, dim=1, largest=False).indices
    shares = torch.zeros_like(losses)
    return shares.scatter_(1, smallest, (counts / kept)[:, None].expand(-1, kept))


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
