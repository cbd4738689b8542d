"""The encoder: image and text in, one layer at a time, any way the input is cut into streams.

Decomposition (MuE, Eq. 3-4) is only a matter of cutting: `joint_stream` gives one stream of image
and text, `separate_streams` one of each. Both go through the same layers; their outputs are
concatenated, image first, and normalised.

Shape letters: B rows, P patches, L text tokens, S = P + L tokens of a stream, D embed, H heads, h x
w the patch grid.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mue_cli.model.config import OFAConfig
from mue_cli.model.layers import EncoderLayer, drop_path_rates
from mue_cli.model.positions import (
    Layout,
    image_bucket_rows,
    image_buckets,
    image_positions,
    token_bucket_rows,
    token_buckets,
)
from mue_cli.model.resnet import EXPANSION, ResNet

PAD_ID = 1


@dataclass(frozen=True)
class Stream:
    """Tokens that see each other. name: image, text or joint. hidden: (B, S, D). padding_mask: (B,
    S) bool, or None.
    """

    name: str
    hidden: Tensor
    padding_mask: Tensor | None
    layout: Layout


class Encoder(nn.Module):
    """OFA's encoder. It knows how to embed, how to bias and how to apply one layer; who walks the
    layers is not its business.
    """

    def __init__(self, config: OFAConfig, embed_tokens: nn.Embedding) -> None:
        super().__init__()
        dim, heads, num_layers = config.embed_dim, config.num_heads, config.num_encoder_layers
        self.config = config
        self.embed_scale = dim**0.5 if config.scale_embedding else 1.0
        self.position_scaling = (config.head_dim * config.attn_scale_factor) ** -0.5
        self.embed_tokens = embed_tokens
        self.embed_images = ResNet(config.resnet_blocks, config.resnet_width)
        self.image_proj = nn.Linear(4 * EXPANSION * config.resnet_width, dim)
        self.type_embedding = nn.Embedding(2, dim) if config.type_embedding else None
        self.layernorm_embedding = nn.LayerNorm(dim) if config.embedding_norms else nn.Identity()
        self.patch_layernorm_embedding = (
            nn.LayerNorm(dim) if config.embedding_norms else nn.Identity()
        )
        self.embed_positions = nn.Embedding(config.max_positions + 2, dim)
        self.embed_image_positions = nn.Embedding(config.image_buckets**2 + 1, dim)
        self.pos_ln = nn.LayerNorm(dim)
        self.image_pos_ln = nn.LayerNorm(dim)
        self.pos_q_linear = nn.Linear(dim, dim)
        self.pos_k_linear = nn.Linear(dim, dim)
        self.token_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(token_bucket_rows(config.token_buckets), heads) for _ in range(num_layers)
        )
        self.image_rel_pos_table_list = nn.ModuleList(
            nn.Embedding(image_bucket_rows(config.image_buckets), heads) for _ in range(num_layers)
        )
        self.layers = nn.ModuleList(
            EncoderLayer(
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

    def embed(
        self, images: Tensor, tokens: Tensor, image_mask: Tensor | None = None
    ) -> tuple[Stream, Stream]:
        """Embed (B, 3, I, I) images and (B, L) tokens as an image stream and a text stream.

        image_mask: (B,) bool, False where a row has no image: its patches become padding.
        """
        features = self.embed_images(images)  # (B, C, h, w)
        grid = (features.shape[2], features.shape[3])
        patches = (
            self.image_proj(features.flatten(2).transpose(1, 2)) * self.embed_scale
        )  # -> (B, P, D)
        text = self.embed_tokens(tokens) * self.embed_scale  # -> (B, L, D)
        if self.type_embedding is not None:
            patches, text = (
                patches + self.type_embedding.weight[1],
                text + self.type_embedding.weight[0],
            )
        patch_padding = None
        if image_mask is not None and not image_mask.all():
            patch_padding = ~image_mask[:, None].expand(-1, patches.shape[1])
        padding = tokens.eq(PAD_ID)
        text_padding = padding if padding.any() else None
        return (
            Stream(
                "image",
                self._settle(self.patch_layernorm_embedding(patches), patch_padding),
                patch_padding,
                Layout(grid, 0),
            ),
            Stream(
                "text",
                self._settle(self.layernorm_embedding(text), text_padding),
                text_padding,
                Layout(None, tokens.shape[1]),
            ),
        )

    def _settle(self, x: Tensor, padding_mask: Tensor | None) -> Tensor:
        x = F.dropout(x, self.config.dropout, self.training)
        return x if padding_mask is None else x.masked_fill(padding_mask[:, :, None], 0.0)

    def position_embedding(self, layout: Layout) -> Tensor:
        """Return (S, D) position vectors of a layout, image before text, after their norms."""
        parts = []
        if layout.grid:
            ids = image_positions(layout.grid, self.config.image_buckets).to(
                self.embed_image_positions.weight.device
            )
            parts.append(self.image_pos_ln(self.embed_image_positions(ids)))
        if layout.num_text:
            parts.append(self.pos_ln(self.embed_positions.weight[: layout.num_text]))
        return torch.cat(parts)

    def absolute_bias(self, layout: Layout) -> Tensor:
        """Return (H, S, S): query position times key position, the part of the bias that all layers
        share.
        """
        positions = self.position_embedding(layout)
        heads = self.config.num_heads
        queries = (
            (self.pos_q_linear(positions) * self.position_scaling)
            .unflatten(1, (heads, -1))
            .transpose(0, 1)
        )  # (S, D) -> (H, S, K)
        keys = self.pos_k_linear(positions).unflatten(1, (heads, -1)).transpose(0, 1)
        return queries @ keys.transpose(1, 2)

    def relative_bias(self, layer: int, layout: Layout) -> Tensor:
        """Return (H, S, S) of one layer (0-based): image-image and text-text blocks; zero between
        image and text.
        """
        blocks = []
        if layout.grid:
            blocks.append(
                _look_up(
                    self.image_rel_pos_table_list[layer],
                    image_buckets(layout.grid, self.config.image_buckets),
                )
            )
        if layout.num_text:
            rows = token_buckets(
                layout.num_text, self.config.token_buckets, self.config.max_positions
            )
            blocks.append(_look_up(self.token_rel_pos_table_list[layer], rows))
        if len(blocks) == 1:
            return blocks[0]
        image, text = blocks
        patches, words = layout.num_patches, layout.num_text
        return F.pad(image, (0, words, 0, words)) + F.pad(text, (patches, 0, patches, 0))

    def join(self, hidden: list[Tensor]) -> Tensor:
        """Concatenate the streams' last states, each (B, S, D), and normalise (Eq. 4)."""
        return self.layer_norm(torch.cat(hidden, dim=1))


def separate_streams(image: Stream, text: Stream) -> list[Stream]:
    """Cut the input as MuE does: each modality sees only itself (Eq. 3)."""
    return [image, text]


def joint_stream(image: Stream, text: Stream) -> list[Stream]:
    """Keep the input whole, image first, as OFA does."""
    hidden = torch.cat([image.hidden, text.hidden], dim=1)
    return [
        Stream(
            "joint",
            hidden,
            join_padding([image, text]),
            Layout(image.layout.grid, text.layout.num_text),
        )
    ]


def join_padding(streams: list[Stream]) -> Tensor | None:
    """Return the (B, S) padding mask of the streams' concatenation, None when nothing is padded."""
    if all(stream.padding_mask is None for stream in streams):
        return None
    return torch.cat(
        [
            s.hidden.new_zeros(s.hidden.shape[:2], dtype=torch.bool)
            if s.padding_mask is None
            else s.padding_mask
            for s in streams
        ],
        dim=1,
    )


def with_padding(bias: Tensor, padding_mask: Tensor | None) -> Tensor:
    """Add -inf at padded keys: (H, T, S) and (B, S) -> (B, H, T, S), or (1, H, T, S) without."""
    if padding_mask is None:
        return bias[None]
    return bias[None].masked_fill(padding_mask[:, None, None, :], float("-inf"))


def _look_up(table: nn.Module, rows: Tensor) -> Tensor:
    assert isinstance(table, nn.Embedding)
    return table(rows.to(table.weight.device)).permute(2, 0, 1)  # (S, S) -> (S, S, H) -> (H, S, S)
