"""One encoder layer and one decoder layer: pre-norm, with NormFormer's extra norms (OFA, Wang et
al. 2022).

Shape letters: B rows, T positions, S keys, D embed, H heads, K head size.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.model.attention import Attend, Attention, attend_to

KeysValues = tuple[Tensor, Tensor]


def drop_path(x: Tensor, rate: float) -> Tensor:
    """Zero whole rows with probability `rate` and scale the others up (stochastic depth, Huang et
    al. 2016).
    """
    if rate == 0.0:
        return x
    keep = torch.rand(x.shape[0], 1, 1, device=x.device) >= rate
    return x * keep / (1.0 - rate)


def drop_path_rates(largest: float, num_layers: int) -> list[float]:
    """Return each layer's rate: 0 for the first, then rising in equal steps to the largest."""
    return [largest * i / max(1, num_layers - 1) for i in range(num_layers)]


def _norm(size: int, wanted: bool) -> nn.Module:
    return nn.LayerNorm(size) if wanted else nn.Identity()


class EncoderLayer(nn.Module):
    """Self-attention, then feed-forward."""

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int,
        num_heads: int,
        scale_factor: float,
        normformer: bool,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.drop_path = drop_path
        self.self_attn = Attention(embed_dim, num_heads, scale_factor, head_scale=normformer)
        self.self_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.self_attn_mid_layer_norm = _norm(embed_dim, normformer)
        self.final_layer_norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, ffn_dim)
        self.ffn_layer_norm = _norm(ffn_dim, normformer)
        self.fc2 = nn.Linear(ffn_dim, embed_dim)

    def forward(self, x: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the layer to (B, T, D). `bias` broadcasts to (B, H, T, T): positions, and -inf at
        padded keys.
        """
        attended = attend_to(None, bias)(self.self_attn, self.self_attn_layer_norm(x))
        x = _add(self, x, self.self_attn_mid_layer_norm(attended))
        return _add(self, x, _feed_forward(self, x))


class DecoderLayer(nn.Module):
    """Self-attention, cross-attention to the encoder's output, then feed-forward."""

    def __init__(
        self,
        embed_dim: int,
        ffn_dim: int,
        num_heads: int,
        scale_factor: float,
        normformer: bool,
        dropout: float,
        drop_path: float,
    ) -> None:
        super().__init__()
        self.dropout = dropout
        self.drop_path = drop_path
        self.self_attn = Attention(embed_dim, num_heads, scale_factor, head_scale=normformer)
        self.self_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.self_attn_mid_layer_norm = _norm(embed_dim, normformer)
        self.cross_attn = Attention(embed_dim, num_heads, scale_factor, head_scale=normformer)
        self.cross_attn_layer_norm = nn.LayerNorm(embed_dim)
        self.cross_attn_mid_layer_norm = _norm(embed_dim, normformer)
        self.final_layer_norm = nn.LayerNorm(embed_dim)
        self.fc1 = nn.Linear(embed_dim, ffn_dim)
        self.ffn_layer_norm = _norm(ffn_dim, normformer)
        self.fc2 = nn.Linear(ffn_dim, embed_dim)

    def self_keys_values(self, x: Tensor) -> KeysValues:
        """Project states entering this layer, (B, T, D), to its self-attention's keys and values,
        each (B, H, T, K).
        """
        return self.self_attn.keys_values(self.self_attn_layer_norm(x))

    def cross_keys_values(self, encoder_output: Tensor) -> KeysValues:
        """Project the encoder's output, (B, S, D), to this layer's cross keys and values, each (B,
        H, S, K).
        """
        return self.cross_attn.keys_values(encoder_output)

    def forward(self, x: Tensor, attend_self: Attend, attend_cross: Attend) -> Tensor:
        """Apply the layer to (B, T, D).

        attend_self, attend_cross: to the words so far, and to the encoder's output.
        """
        attended = attend_self(self.self_attn, self.self_attn_layer_norm(x))
        x = _add(self, x, self.self_attn_mid_layer_norm(attended))
        attended = attend_cross(self.cross_attn, self.cross_attn_layer_norm(x))
        x = _add(self, x, self.cross_attn_mid_layer_norm(attended))
        return _add(self, x, _feed_forward(self, x))


def _add(layer: EncoderLayer | DecoderLayer, x: Tensor, update: Tensor) -> Tensor:
    """Add a block's update to its input, under dropout and stochastic depth in training."""
    if not layer.training:
        return x + update
    return x + drop_path(F.dropout(update, layer.dropout), layer.drop_path)


def _feed_forward(layer: EncoderLayer | DecoderLayer, x: Tensor) -> Tensor:
    return layer.fc2(layer.ffn_layer_norm(F.gelu(layer.fc1(layer.final_layer_norm(x)))))
