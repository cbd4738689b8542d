"""The decoder: words in, one layer at a time, and the head that reads a state out.

Shape letters: B rows, T positions, S encoder tokens, D embed, H heads, V vocabulary.
"""

from collections.abc import Callable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.model.config import OFAConfig
from mue_cli.model.layers import DecoderLayer, drop_path_rates
from mue_cli.model.positions import token_bucket_rows, token_buckets


class TiedHead(nn.Module):
    """The output projection; its weight (V, D) is the embedding's."""

    def __init__(self, embedding: nn.Embedding) -> None:
        super().__init__()
        self.weight = embedding.get_parameter("weight")

    def forward(self, normed: Tensor) -> Tensor:
        """Read normed states out: (..., D) -> (..., V)."""
        return F.linear(normed, self.weight)


class Decoder(nn.Module):
    """OFA's decoder. Like the encoder it embeds, biases and applies one layer; the head is tied to
    the embedding.
    """

    def __init__(self, config: OFAConfig, embed_tokens: nn.Embedding) -> None:
        super().__init__()
        dim, heads, num_layers = config.embed_dim, config.num_heads, config.num_decoder_layers
        self.config = config
        self.embed_scale = dim**0.5 if config.scale_embedding else 1.0
        self.position_scaling = (config.head_dim * config.attn_scale_factor) ** -0.5
        self.embed_tokens = embed_tokens
        self.layernorm_embedding = nn.LayerNorm(dim) if config.embedding_norms else nn.Identity()
        self.embed_positions = nn.Embedding(config.max_positions + 2, dim)
        self.pos_ln = nn.LayerNorm(dim)
        self.self_pos_q_linear = nn.Linear(dim, dim)
        self.self_pos_k_linear = nn.Linear(dim, dim)
        self.cross_pos_q_linear = nn.Linear(dim, dim)
        self.cross_pos_k_linear = nn.Linear(dim, dim)
        self.token_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(token_bucket_rows(config.token_buckets), heads) for _ in range(num_layers)
        )
        self.layers = nn.ModuleList(
            DecoderLayer(
                dim,
                config.ffn_dim,
                heads,
                config.attn_scale_factor,
                config.normformer,
                config.dropout,
                rate,
            )
            for rate in drop_path_rates(config.drop_path, num_layers)
        )
        self.layer_norm = nn.LayerNorm(dim)
        self.output_projection: nn.Module
        self.tie_head()

    def tie_head(self) -> None:
        """Let the head's weight be the embedding's, again after both were put elsewhere."""
        self.output_projection = TiedHead(self.embed_tokens)

    def stack(self) -> list[DecoderLayer]:
        """Return the layers in order."""
        return cast("list[DecoderLayer]", list(self.layers))

    def embed(self, tokens: Tensor) -> Tensor:
        """Embed (B, T) tokens as (B, T, D); attention's bias carries their positions."""
        x = self.layernorm_embedding(self.embed_tokens(tokens) * self.embed_scale)
        return F.dropout(x, self.config.dropout, self.training)

    def absolute_self_bias(self, length: int) -> Tensor:
        """Return (H, T, T), shared by all layers, -inf above the diagonal."""
        positions = self.pos_ln(self.embed_positions.weight[:length])
        bias = self._product(self.self_pos_q_linear(positions), self.self_pos_k_linear(positions))
        return bias.masked_fill(
            torch.ones(length, length, dtype=torch.bool, device=bias.device).triu(1), float("-inf")
        )

    def relative_self_bias(self, layer: int, length: int) -> Tensor:
        """Return (H, T, T) of one layer (0-based)."""
        table = self.token_rel_pos_table_list[layer]
        rows = token_buckets(length, self.config.token_buckets, self.config.max_positions)
        return table(rows.to(self.embed_positions.weight.device)).permute(2, 0, 1)

    def cross_bias(self, length: int, encoder_positions: Tensor) -> Tensor:
        """Return (H, T, S), shared by all layers; encoder_positions: (S, D) from the encoder, after
        its norms.
        """
        positions = self.pos_ln(self.embed_positions.weight[:length])
        return self._product(
            self.cross_pos_q_linear(positions), self.cross_pos_k_linear(encoder_positions)
        )

    def _product(self, queries: Tensor, keys: Tensor) -> Tensor:
        heads = self.config.num_heads
        queries = (
            (queries * self.position_scaling).unflatten(1, (heads, -1)).transpose(0, 1)
        )  # (T, D) -> (H, T, K)
        return queries @ keys.unflatten(1, (heads, -1)).permute(1, 2, 0)

    def logits(self, hidden: Tensor) -> Tensor:
        """Read any layer's state out through the shared norm and head: (..., D) -> (..., V)."""
        logits: Tensor = self.output_projection(self.layer_norm(hidden))
        return logits

    def projection(self, token_ids: Sequence[int] | None = None) -> Callable[[Tensor], Tensor]:
        """Return the head for the whole vocabulary, or for a few tokens alone: normed (..., D) ->
        (..., V).
        """
        if token_ids is None:
            return self.output_projection
        weight = self.embed_tokens.weight[list(token_ids)]
        return lambda normed: F.linear(normed, weight)
