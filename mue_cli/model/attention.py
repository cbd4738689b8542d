"""Multi-head attention with an additive bias and NormFormer's learned scale per head.

Shape letters: B rows, T queries, S keys, D embed, H heads, K head size.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Scaled dot-product attention: softmax(q k^T * scale + bias) v, each head times `c_attn`, then the output projection.

    scale_factor: OFA sums content and position logits, so the usual scale head_dim ** -0.5 becomes (head_dim * factor) ** -0.5.
    head_scale: learn one factor per head (NormFormer, Shleifer et al. 2021).
    """

    def __init__(self, embed_dim: int, num_heads: int, scale_factor: float, head_scale: bool) -> None:
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

    def attend(self, x: Tensor, parts: Sequence[tuple[slice, Tensor, Tensor]], bias: Tensor | None) -> Tensor:
        """Attend from (B, T, D), rows in parts: each part names its rows of x and has keys and values (b, H, S, K) for them.

        Parts let rows that lie apart in a cache be read where they are. bias broadcasts to (B, H, T, S).
        """
        queries = self._heads(self.q_proj(x))  # (B, T, D) -> (B, H, T, K)
        attended = [
            F.scaled_dot_product_attention(queries[rows], keys, values, attn_mask=_of_rows(bias, rows), scale=self.scaling)
            for rows, keys, values in parts
        ]
        out = attended[0] if len(attended) == 1 else torch.cat(attended)
        if self.c_attn is not None:
            out = out * self.c_attn[:, None, None]
        return self.out_proj(out.transpose(1, 2).flatten(2))  # (B, H, T, K) -> (B, T, D)

    def _heads(self, x: Tensor) -> Tensor:
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)  # (B, T, D) -> (B, H, T, K)


def _of_rows(bias: Tensor | None, rows: slice) -> Tensor | None:
    return bias if bias is None or len(bias) == 1 else bias[rows]
