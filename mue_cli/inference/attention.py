"""Attention to keys and values that lie in a cache: parts of a batch's rows where they lie, one row
shared by many, and keys that lie transposed.

Shape letters: B rows, Q hypotheses, T queries, S keys, D embed, H heads, K head size.
"""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

from mue_cli.model.attention import Attend, Attention
from mue_cli.model.layers import KeysValues

Parts = Sequence[tuple[slice, Tensor, Tensor]]
"""Keys and values, (b, H, S, K) each, for parts of a batch's rows; together all rows, in order. One
row of them, b = 1, may serve several rows.
"""


def attend_to_words(extend: Callable[[Tensor, Tensor], KeysValues], bias: Tensor | None) -> Attend:
    """Return attention of single new words, (B, Q, D), to the words before them and themselves.

    extend: takes the new words' keys and values, (B Q, H, 1, K), and returns those to attend to.
    bias broadcasts to (B Q, H, 1, S).
    """

    def attend(attention: Attention, x: Tensor) -> Tensor:
        words = x.flatten(0, 1)[:, None]  # (B, Q, D) -> (B Q, 1, D)
        keys, values = extend(*attention.keys_values(words))
        return attention(words, keys, values, bias).view_as(x)

    return attend


def attend_to_parts(parts: Parts, bias: Tensor | None) -> Attend:
    """Return attention to keys and values in parts; bias broadcasts to (B, H, T, S)."""

    def attend(attention: Attention, x: Tensor) -> Tensor:
        queries = attention.queries(x)  # (B, T, D) -> (B, H, T, K)
        attended = []
        for rows, keys, values in parts:
            own = queries[rows]
            attend_rows = _attend_to_one if len(keys) < len(own) else _attend
            attended.append(
                attend_rows(own, keys, values, bias=_of_rows(bias, rows), scale=attention.scaling)
            )
        return attention.output(attended[0] if len(attended) == 1 else torch.cat(attended))

    return attend


def _attend(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """Attend as scaled_dot_product_attention does; keys that lie transposed, (B, H, K, S) in
    memory, are read as they lie.
    """
    if keys.stride(3) == 1 or bias is None:
        return F.scaled_dot_product_attention(queries, keys, values, attn_mask=bias, scale=scale)
    bias = bias.expand(len(queries), -1, queries.shape[2], -1).flatten(0, 1)  # -> (B H, T, S)
    scores = torch.baddbmm(
        bias, queries.flatten(0, 1), keys.transpose(2, 3).flatten(0, 1), alpha=scale
    )
    return torch.bmm(scores.softmax(2), values.flatten(0, 1)).view_as(queries)


def _attend_to_one(
    queries: Tensor, keys: Tensor, values: Tensor, bias: Tensor | None, scale: float
) -> Tensor:
    """Attend from rows (b, H, T, K) to one row of keys as if they were more queries of it: the keys
    are read once.
    """
    num_rows, _, length, _ = queries.shape
    if bias is not None:  # (b, H, T, S) -> (H, b T, S)
        bias = bias.expand(num_rows, -1, length, -1).transpose(0, 1).flatten(1, 2)
    merged = queries.transpose(0, 1).flatten(1, 2)[None]  # (b, H, T, K) -> (1, H, b T, K)
    out = _attend(merged, keys, values, bias=bias, scale=scale)
    return out[0].unflatten(1, (num_rows, length)).transpose(0, 1)


def _of_rows(bias: Tensor | None, rows: slice) -> Tensor | None:
    return bias if bias is None or len(bias) == 1 else bias[rows]
