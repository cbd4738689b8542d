"""Multi-head attention with an additive bias and NormFormer's learned scale per head.

Shape letters: B rows, Q texts of a row, T queries, S keys, D embed, H heads, K head size.
"""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Scaled dot-product attention: softmax(q k^T * scale + bias) v, each head times `c_attn`, then
    the output projection.

    scale_factor: OFA sums content and position logits, so the usual scale head_dim ** -0.5 becomes
    (head_dim * factor) ** -0.5. head_scale: learn one factor per head (NormFormer, Shleifer et al.
    2021).
    """

    def __init__(
        self, embed_dim: int, num_heads: int, scale_factor: float, head_scale: bool
    ) -> None:
        super().__init__()
        self.num_heads = num_heads
        self.scaling = (embed_dim // num_heads * scale_factor) ** -0.5
        self.q_proj = nn.Linear(embed_dim, embed_dim)
        self.k_proj = nn.Linear(embed_dim, embed_dim)
        self.v_proj = nn.Linear(embed_dim, embed_dim)
        self.out_proj = nn.Linear(embed_dim, embed_dim)
        self.c_attn = nn.Parameter(torch.ones(num_heads)) if head_scale else None

    def queries(self, x: Tensor) -> Tensor:
        """Project (B, T, D) to queries (B, H, T, K)."""
        return self._heads(self.q_proj(x))

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Project (B, S, D) to keys and values, each (B, H, S, K)."""
        return self._heads(self.k_proj(x)), self._heads(self.v_proj(x))

    def output(self, attended: Tensor) -> Tensor:
        """Scale the heads and project them back: (B, H, T, K) -> (B, T, D)."""
        if self.c_attn is not None:
            attended = attended * self.c_attn[:, None, None]
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Attend from (B, T, D) to keys and values (B, H, S, K); bias broadcasts to (B, H, T,
        S).
        """
        if bias is not None and bias.requires_grad and bias.device.type == "cpu":
            return self.output(_attend_on_cpu(self.queries(x) * self.scaling, keys, values, bias))
        return self.output(
            F.scaled_dot_product_attention(
                self.queries(x), keys, values, attn_mask=bias, scale=self.scaling
            )
        )

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, K)


def _attend_on_cpu(queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor) -> Tensor:
    """Attend from scaled queries, with fewer operations than torch, which has no fused attention
    with a learned bias for CPUs. Every query must see a key.
    """
    shape = (*queries.shape[:3], keys.shape[2])  # (B, H, T, S)
    flat = [each.reshape(-1, *each.shape[2:]) for each in (queries, keys, values)]  # (B H, ., K)
    scores = torch.bmm(flat[0], flat[1].transpose(1, 2)).view(shape)
    weights = torch.softmax(scores + bias, dim=3).view(-1, *shape[2:])
    return torch.bmm(weights, flat[2]).view(queries.shape)


Attend = Callable[[Attention, Tensor], Tensor]
"""Attends, with a layer's attention, from its normed states: (B, T, D) -> (B, T, D)."""


def attend_to(source: Tensor | None, bias: Tensor | None) -> Attend:
    """Return attention to a source (B, S, D), or of the states to themselves where it is None."""

    def attend(attention: Attention, x: Tensor) -> Tensor:
        return attention(x, *attention.keys_values(x if source is None else source), bias)

    return attend


def attend_to_texts(num_texts: int, bias: Tensor | None) -> Attend:
    """Return attention of texts that lie side by side, (B, Q * T, D), each to itself alone."""

    def attend(attention: Attention, x: Tensor) -> Tensor:
        texts = x.unflatten(1, (num_texts, -1)).flatten(0, 1)  # (B, Q T, D) -> (B Q, T, D)
        return attention(texts, *attention.keys_values(texts), bias).view_as(x)

    return attend
