"""Multi-head attention with an additive bias and NormFormer's learned scale per head.

Shape letters: B rows, T queries, S keys, D embed, H heads, K head size.
"""

from collections.abc import Sequence

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

    def keys_values(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Project (B, S, D) to keys and values, each (B, H, S, K)."""
        return self._heads(self.k_proj(x)), self._heads(self.v_proj(x))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None) -> Tensor:
        """Attend from (B, T, D) to keys and values (B, H, S, K); bias broadcasts to (B, H, T, S)."""
        return self.attend(x, [(slice(None), keys, values)], bias)

    def attend(
        self, x: Tensor, parts: Sequence[tuple[slice, Tensor, Tensor]], bias: Tensor | None
    ) -> Tensor:
        """Attend from (B, T, D), rows in parts: each part names its rows of x and has keys and
        values (b, H, S, K) for them.

        Parts let rows that lie apart in a cache be read where they are; several rows may share one
        row of keys and values, b = 1. bias broadcasts to (B, H, T, S).
        """
        queries = self._heads(self.q_proj(x))  # (B, T, D) -> (B, H, T, K)
        attended = []
        for rows, keys, values in parts:
            own = queries[rows]
            attend = _attend_to_one if len(keys) < len(own) else _attend
            attended.append(
                attend(own, keys, values, attn_mask=_of_rows(bias, rows), scale=self.scaling)
            )
        out = attended[0] if len(attended) == 1 else torch.cat(attended)
        if self.c_attn is not None:
            out = out * self.c_attn[:, None, None]
        return self.out_proj(out.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, D)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, K)


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None, scale: float
) -> Tensor:
    """Attend as scaled_dot_product_attention does; keys that lie transposed, (B, H, K, S) in
    memory, are read as they lie.
    """
    if keys.stride(3) == 1 or attn_mask is None:
        return F.scaled_dot_product_attention(
            queries, keys, values, attn_mask=attn_mask, scale=scale
        )
    bias = attn_mask.expand(len(queries), -1, queries.shape[2], -1).flatten(
        0, 1
    )  # (B, H, T, S) -> (B H, T, S)
    scores = torch.baddbmm(
        bias, queries.flatten(0, 1), keys.transpose(2, 3).flatten(0, 1), alpha=scale
    )
    return torch.bmm(scores.softmax(2), values.flatten(0, 1)).view_as(queries)


def _attend_to_one(
    queries: Tensor, keys: Tensor, values: Tensor, attn_mask: Tensor | None, scale: float
) -> Tensor:
    """Attend from rows (b, H, T, K) to one row of keys as if they were more queries of it: the keys
    are read once.
    """
    num_rows, _, length, _ = queries.shape
    if attn_mask is not None:
        attn_mask = (
            attn_mask.expand(num_rows, -1, length, -1).transpose(0, 1).flatten(1, 2)
        )  # (b, H, T, S) -> (H, b T, S)
    merged = queries.transpose(0, 1).flatten(1, 2)[None]  # (b, H, T, K) -> (1, H, b T, K)
    out = _attend(merged, keys, values, attn_mask=attn_mask, scale=scale)
    return out[0].unflatten(1, (num_rows, length)).transpose(0, 1)


def _of_rows(bias: Tensor | None, rows: slice) -> Tensor | None:
    return bias if bias is None or len(bias) == 1 else bias[rows]
