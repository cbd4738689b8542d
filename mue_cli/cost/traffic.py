"""Bytes that a trace must read from memory, by arithmetic: weights, once per call, and the
decoder's keys and values.

Counted for a batch of one. Not counted: activations, biases, norms, embeddings, and what keys and
values of skipped layers need. A weight that is still in a cache when it is needed again is counted
all the same.

Shape letters: S encoder tokens, T decoder positions, D embed, F feed-forward, V vocabulary.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from mue_cli.exits.trace import Trace
from mue_cli.model.config import OFAConfig


@dataclass(frozen=True)
class ValueSizes:
    """Bytes of one number. weight: in the stacks' matrices and the head. value: everywhere else."""

    weight: int = 4
    value: int = 4


@dataclass(frozen=True)
class TrafficBreakdown:
    """Bytes of one sample, parts as in FlopsBreakdown. encoder: by stream."""

    resnet: float
    image_proj: float
    encoder: Mapping[str, float]
    cross_kv: float
    decoder: float


def trace_traffic(trace: Trace, config: OFAConfig, sizes: ValueSizes) -> TrafficBreakdown:
    """Count the bytes of one trace; those of the readings are for `cost.reading`."""
    dim, ffn = config.embed_dim, config.ffn_dim
    layer = sizes.weight * (4 * dim**2 + 2 * dim * ffn)
    return TrafficBreakdown(
        resnet=sizes.value * resnet_weights(config.resnet_blocks, config.resnet_width),
        image_proj=sizes.value * 16 * config.resnet_width * dim,
        encoder={stream: exit_layer * layer for stream, exit_layer in trace.encoder_exits.items()},
        cross_kv=max(trace.decoder_exits, default=0) * sizes.weight * 2 * dim**2,
        decoder=_decoder_bytes(trace, config, sizes),
    )


def resnet_weights(blocks: tuple[int, int, int], width: int) -> int:
    """Return the number of weights in the convolutions."""
    total, channels_in = 3 * 7**2 * width, width
    for stage, num_blocks in enumerate(blocks):
        channels = width * 2**stage
        inside = 9 * channels**2 + 4 * channels**2
        total += (
            channels_in * channels + inside + channels_in * 4 * channels
        )  # the first block, whose shortcut is a convolution
        total += (num_blocks - 1) * (4 * channels**2 + inside)
        channels_in = 4 * channels
    return total


def _decoder_bytes(trace: Trace, config: OFAConfig, sizes: ValueSizes) -> int:
    """Per step and layer: its weights, the image's cross keys and values, which a beam shares, and
    each hypothesis' own.
    """
    dim, source = config.embed_dim, sum(trace.encoder_tokens.values())
    weights = sizes.weight * (6 * dim**2 + 2 * dim * config.ffn_dim)
    total = 0
    for step, (exit_layer, hypotheses) in enumerate(
        zip(trace.decoder_exits, trace.num_hypotheses, strict=True), start=1
    ):
        total += exit_layer * (
            weights + sizes.value * 2 * dim * (source + hypotheses * step * trace.num_positions)
        )
    return total
