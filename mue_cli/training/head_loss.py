"""Cross-entropy of several layers through one head, with its gradient, a few positions at a time.

Six layers' logits over OFA's 59,457 words, and what a softmax keeps of them, are most of a training
step's memory. Here a chunk's gradient is taken as soon as its logits are there, and only the
gradients of states and head are kept. Loss of a row of logits z with label smoothing s (as OFA has
it: s / (V - 1) to every wrong class):

    b = s / (V - 1),  a = 1 - s - b,  loss = logsumexp(z) - a z[target] - b sum(z)

Shape letters: N layers, M positions that have a target, D embed, V classes.
"""

from typing import Any

import torch
from torch import Tensor

CHUNK_NUMBERS = {"cpu": 2**22, "cuda": 2**27}
"""Logits that are there at once: few where caches count, many where launches do."""


def head_loss(
    hidden: Tensor,
    weight: Tensor,
    targets: Tensor,
    shares: Tensor,
    smoothing: float = 0.0,
    distillation: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Return sum(shares * losses), and the losses (N, M) against the targets, which carry no
    gradient.

    hidden: (N, M, D), after the head's norm. weight: (V, D). targets: (M,). shares: (N, M), how
    much each loss counts. distillation: the part of every layer's loss but the last that is
    cross-entropy against the last layer's probabilities instead, which this does not move. Logits,
    softmax and loss are float32, products what autocast says.
    """
    of_all = _HeadLoss.apply
    given = (hidden, weight, targets, shares, smoothing, distillation)
    total, losses = of_all(*given)  # type: ignore[no-untyped-call]  # torch gives it no types
    return total, losses


@torch.no_grad()
def position_losses(hidden: Tensor, weight: Tensor, targets: Tensor, smoothing: float) -> Tensor:
    """Return (N, M): every layer's loss at every position, no gradients."""
    return head_loss(hidden, weight, targets, hidden.new_zeros(hidden.shape[:2]), smoothing)[1]


class _HeadLoss(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        hidden: Tensor,
        weight: Tensor,
        targets: Tensor,
        shares: Tensor,
        smoothing: float,
        distillation: float,
    ) -> tuple[Tensor, Tensor]:
        device = hidden.device.type
        kind = (
            torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else hidden.dtype
        )
        with torch.autocast(device, enabled=False):
            sums = _Sums(ctx.needs_input_grad, hidden, weight, smoothing, distillation, kind)
            step = max(1, CHUNK_NUMBERS.get(device, 2**22) // (len(hidden) * len(weight)))
            for start in range(0, len(targets), step):
                part = slice(start, start + step)
                sums.add(hidden[:, part], targets[part], shares[:, part], part)
        ctx.grads = (sums.grad_hidden, sums.grad_weight)
        ctx.mark_non_differentiable(sums.losses)
        return sums.total, sums.losses

    @staticmethod
    def backward(ctx: Any, grad_total: Tensor, _: Tensor) -> tuple[Tensor | None, ...]:
        # Scaled in place and let go: a copy of the head's gradient would be as large as the head.
        grads, ctx.grads = ctx.grads, None
        if grads is None:
            raise RuntimeError("the layer-wise loss keeps its gradients for one backward pass")
        scaled = (None if grad is None else grad.mul_(grad_total) for grad in grads)
        return (*scaled, None, None, None, None)


class _Sums:
    """What is kept of the chunks: total, losses, and the gradients that someone needs."""

    def __init__(
        self,
        needed: tuple[bool, ...],
        hidden: Tensor,
        weight: Tensor,
        smoothing: float,
        distillation: float,
        kind: torch.dtype,
    ) -> None:
        self._weight = weight.to(kind)
        self._kind = kind
        self._wrong = smoothing / (len(weight) - 1)
        self._right = 1.0 - smoothing - self._wrong
        soft = torch.full((len(hidden), 1), distillation, device=hidden.device)
        soft[-1] = 0.0
        self._soft = soft  # (N, 1)
        self._distils = distillation > 0.0 and len(hidden) > 1
        self._needed = any(needed[:2])
        self.total = torch.zeros((), device=hidden.device)
        self.losses = torch.empty(hidden.shape[:2], device=hidden.device)
        self.grad_hidden = torch.empty_like(hidden) if needed[0] else None
        self.grad_weight = torch.zeros_like(weight) if needed[1] else None

    def add(self, hidden: Tensor, targets: Tensor, shares: Tensor, part: slice) -> None:
        """Add a chunk: hidden (N, m, D), targets (m,), shares (N, m)."""
        rows = hidden.flatten(0, 1).to(self._kind)  # (N m, D)
        logits = (rows @ self._weight.t()).float().view(*hidden.shape[:2], -1)  # (N, m, V)
        right = targets.expand(len(hidden), -1)[..., None]  # (N, m, 1)
        wanted = self._right * logits.gather(2, right).squeeze(2)
        if self._wrong:
            wanted += self._wrong * logits.sum(2)
        teacher = logits[-1].softmax(1) if self._distils else None  # (m, V)
        taught = 0.0 if teacher is None else torch.einsum("nmv,mv->nm", logits, teacher)
        # Everything of this size happens in place: there is no room for a second copy.
        largest = logits.amax(2, keepdim=True)
        probs = logits.sub_(largest).exp_()
        mass = probs.sum(2, keepdim=True)
        scale = (largest + mass.log()).squeeze(2)  # (N, m), logsumexp
        losses = scale - wanted
        self.losses[:, part] = losses
        hard = 1.0 - self._soft  # (N, 1)
        mixed = losses if teacher is None else hard * losses + self._soft * (scale - taught)
        self.total += (shares * mixed).sum()
        if self._needed:
            self._add_gradients(probs.div_(mass), teacher, right, hard, shares, rows, part)

    def _add_gradients(
        self,
        grad: Tensor,
        teacher: Tensor | None,
        right: Tensor,
        hard: Tensor,
        shares: Tensor,
        rows: Tensor,
        part: slice,
    ) -> None:
        """Turn probabilities (N, m, V) into the logits' gradient, in place, and pass it on."""
        share = hard.expand(shares.shape)[..., None]  # (N, m, 1)
        grad.scatter_add_(2, right, -self._right * share)
        if self._wrong:
            grad.sub_(self._wrong * share)
        if teacher is not None:
            for each, soft in zip(grad, self._soft, strict=True):
                each.addcmul_(teacher, soft, value=-1.0)
        flat = grad.mul_(shares[..., None]).flatten(0, 1).to(self._kind)  # (N m, V)
        if self.grad_hidden is not None:
            self.grad_hidden[:, part] = (flat @ self._weight).view(*shares.shape, -1)
        if self.grad_weight is None:
            return
        if self._kind == self.grad_weight.dtype:
            self.grad_weight.addmm_(flat.t(), rows)
        else:
            self.grad_weight += flat.t() @ rows
