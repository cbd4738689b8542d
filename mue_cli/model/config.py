"""Sizes and switches of OFA, and the named sizes ("presets").

Released sizes: OFA (Wang et al., ICML 2022), Table 1 of its appendix. The small ones are ours, for
laptops: same code, a narrower and shallower ResNet.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Annotated

from mue_cli.errors import RecipeError
from mue_cli.schema.schema import Count, Fraction, Natural, NonNegative, Positive, Range, build


@dataclass(frozen=True)
class OFAConfig:
    """All that is needed to build an OFA. The defaults of the switches are those of every released
    size.

    resnet_blocks: bottlenecks in each of the three stages.
    resnet_width: channels after the stem (64 in released sizes); the trunk ends with 16 times as
    many.
    token_buckets, image_buckets: sides of the relative-position tables (OFA: 256 and 42).
    max_positions: longest text; OFA's table has two rows more.
    attn_scale_factor: content and position logits are summed, so each is scaled by (head_dim *
    factor) ** -0.5. normformer: extra norms in each block, and a learned scale per attention head.
    drop_path: largest stochastic-depth rate over the layers (0 at the first, linear).
    init_std: deviation of fresh linear weights. OFA's 0.02 suits its widths; narrow models start
        with nearly uniform attention from it and learn slowly, so the small presets start wider.
    init_active_layers: fresh encoder and decoder layers beyond so many start by passing their input
        on unchanged (None: no such layer). A deep random stack hides from its last layer what the
        first ones see.
    """

    vocab_size: Count
    embed_dim: Annotated[int, Range(1, 65536)]
    ffn_dim: Annotated[int, Range(1, 262144)]
    num_heads: Annotated[int, Range(1, 4096)]
    num_encoder_layers: Annotated[int, Range(1, 1000)]
    num_decoder_layers: Annotated[int, Range(1, 1000)]
    resnet_blocks: tuple[Count, Count, Count]
    resnet_width: Annotated[int, Range(1, 4096)] = 64
    max_positions: Annotated[int, Range(8, 65536)] = 1024
    token_buckets: Annotated[int, Range(2, 65536)] = 256
    image_buckets: Count = 42
    attn_scale_factor: Positive = 2.0
    dropout: Fraction = 0.1
    drop_path: Fraction = 0.0
    init_std: NonNegative = 0.02
    init_active_layers: Natural | None = None
    normformer: bool = True
    embedding_norms: bool = True
    type_embedding: bool = True
    scale_embedding: bool = False

    @property
    def head_dim(self) -> int:
        return self.embed_dim // self.num_heads

    @property
    def image_stride(self) -> int:
        """Pixels per patch side: the stem halves twice, stages two and three once each."""
        return 16


def checked(values: Mapping[str, object], place: str) -> OFAConfig:
    """Return the config of values that a file or a user states. place: where, for messages.

    Raises RecipeError for an unknown or missing field, a wrong type, a value out of range, and
    heads that cannot share the dimensions.
    """
    config = build(OFAConfig, values, lambda _: place)
    if len(config.resnet_blocks) != 3:
        raise RecipeError(
            f"`resnet_blocks` in {place} has {len(config.resnet_blocks)} numbers, "
            "expected one for each of three stages"
        )
    if config.embed_dim % config.num_heads:
        problem = f"{place}: {config.num_heads} heads cannot share {config.embed_dim} dimensions"
        raise RecipeError(problem, "make embed_dim a multiple of num_heads")
    return config


def changed(config: OFAConfig, changes: Mapping[str, object]) -> OFAConfig:
    """Return the config with single fields replaced. Raises TypeError for an unknown field,
    RecipeError for a value that makes no sense.
    """
    return checked(asdict(replace(config, **changes)), "model.config")  # type: ignore[arg-type]


RELEASED_VOCAB_SIZE = 59457

_SIZES: dict[str, dict[str, object]] = {
    "tiny": dict(
        embed_dim=256,
        ffn_dim=1024,
        num_heads=4,
        num_encoder_layers=4,
        num_decoder_layers=4,
        resnet_blocks=(3, 4, 6),
    ),
    "medium": dict(
        embed_dim=512,
        ffn_dim=2048,
        num_heads=8,
        num_encoder_layers=4,
        num_decoder_layers=4,
        resnet_blocks=(3, 4, 23),
    ),
    "base": dict(
        embed_dim=768,
        ffn_dim=3072,
        num_heads=12,
        num_encoder_layers=6,
        num_decoder_layers=6,
        resnet_blocks=(3, 4, 23),
    ),
    "large": dict(
        embed_dim=1024,
        ffn_dim=4096,
        num_heads=16,
        num_encoder_layers=12,
        num_decoder_layers=12,
        resnet_blocks=(3, 8, 36),
    ),
    "huge": dict(
        embed_dim=1280,
        ffn_dim=5120,
        num_heads=16,
        num_encoder_layers=24,
        num_decoder_layers=12,
        resnet_blocks=(3, 8, 36),
    ),
    "nano": dict(
        embed_dim=96,
        ffn_dim=192,
        num_heads=3,
        num_encoder_layers=6,
        num_decoder_layers=6,
        resnet_blocks=(1, 1, 1),
        resnet_width=16,
        max_positions=128,
        token_buckets=32,
        image_buckets=16,
        dropout=0.0,
        init_std=0.15,
        init_active_layers=2,
    ),
    "micro": dict(
        embed_dim=192,
        ffn_dim=768,
        num_heads=3,
        num_encoder_layers=6,
        num_decoder_layers=6,
        resnet_blocks=(2, 2, 2),
        resnet_width=32,
        max_positions=256,
        token_buckets=64,
        init_std=0.07,
        init_active_layers=2,
    ),
}

PRESETS: tuple[str, ...] = tuple(_SIZES)


def preset(name: str, vocab_size: int = RELEASED_VOCAB_SIZE, **changes: object) -> OFAConfig:
    """Return the named size with the given vocabulary; `changes` replaces single fields. Raises
    KeyError for an unknown name.
    """
    return changed(OFAConfig(vocab_size=vocab_size, **_SIZES[name]), changes)  # type: ignore[arg-type]
