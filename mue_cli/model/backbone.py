"""What inference and training need of a backbone: all that they use of `OFA`, which is the only
one. Another encoder-decoder that has these can take its place.

Shapes and units stand with the methods of `Encoder`, `Decoder` and `OFA`.
"""

from collections.abc import Callable, Sequence
from typing import Protocol

from torch import Tensor, nn

from mue_cli.model.config import OFAConfig
from mue_cli.model.encoder import Stream
from mue_cli.model.layers import DecoderLayer
from mue_cli.model.positions import Layout


class EncoderStack(Protocol):
    embed_positions: nn.Embedding
    layers: nn.ModuleList

    @property
    def embed_images(self) -> nn.Module: ...
    def embed(
        self, images: Tensor, tokens: Tensor, image_mask: Tensor | None = None
    ) -> tuple[Stream, Stream]: ...
    def position_embedding(self, layout: Layout) -> Tensor: ...
    def absolute_bias(self, layout: Layout) -> Tensor: ...
    def relative_bias(self, layer: int, layout: Layout) -> Tensor: ...
    def join(self, hidden: list[Tensor]) -> Tensor: ...


class DecoderStack(Protocol):
    layers: nn.ModuleList
    layer_norm: nn.LayerNorm

    def stack(self) -> list[DecoderLayer]: ...
    def embed(self, tokens: Tensor) -> Tensor: ...
    def absolute_self_bias(self, length: int) -> Tensor: ...
    def relative_self_bias(self, layer: int, length: int) -> Tensor: ...
    def cross_bias(self, length: int, encoder_positions: Tensor) -> Tensor: ...
    def logits(self, hidden: Tensor) -> Tensor: ...
    def projection(self, token_ids: Sequence[int] | None = None) -> Callable[[Tensor], Tensor]: ...


class Backbone(Protocol):
    config: OFAConfig

    @property
    def encoder(self) -> EncoderStack: ...
    @property
    def decoder(self) -> DecoderStack: ...
    def forward(
        self, images: Tensor, source_tokens: Tensor, decoder_tokens: Tensor, decompose: bool
    ) -> list[Tensor]: ...
