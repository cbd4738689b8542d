"""Floating-point operations of a trace, by arithmetic: what a sample's walk through OFA costs, part
by part.

Counted: the multiply-adds of matrix products and convolutions, two operations each, and what the
exit rule itself spends. Not counted: norms, softmax, activations, embeddings, residual sums (about
1 % at the released sizes). Masked attention scores are counted, they are computed. A walk that
exits nowhere is counted by the same functions, so a reduction compares one program with itself.

Shape letters: P patches, L text tokens, S = P + L, T decoder positions, D embed, F feed-forward, V
vocabulary.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from statistics import fmean

from mue_cli.cost.reading import Reading
from mue_cli.exits.methods import Method, SkippedPolicy, full
from mue_cli.exits.trace import Trace
from mue_cli.model.config import OFAConfig


@dataclass(frozen=True)
class FlopsBreakdown:
    """Operations of one sample (or a mean over samples), 1 multiply-add = 2.

    position_bias is what building the sample's bias tables from nothing would cost. They depend on
    the patch grid and the text's length alone, so inference builds them once and keeps them: they
    are shown, and left out of `total`.
    """

    resnet: float
    image_proj: float
    position_bias: float
    encoder: float
    cross_kv: float
    decoder: float
    head: float
    rule: float

    @property
    def total(self) -> float:
        return (
            self.resnet
            + self.image_proj
            + self.encoder
            + self.cross_kv
            + self.decoder
            + self.head
            + self.rule
        )


@dataclass(frozen=True)
class FlopsReduction:
    """reduction: 1 - mean.total / full.total. mean: per sample, with its exits. full: the same
    samples and words with every layer run.
    """

    reduction: float
    mean: FlopsBreakdown
    full: FlopsBreakdown


def trace_flops(
    trace: Trace,
    config: OFAConfig,
    image_size: int,
    method: Method | None = None,
    num_classes: int | None = None,
) -> FlopsBreakdown:
    """Count the operations of one trace.

    image_size: the image's side in pixels. method: whose rules and exit head are charged, None for
    the full model's. num_classes: that are read out, None for the vocabulary.
    """
    method = method or full(decompose="joint" not in trace.encoder_exits)
    reading = method_reading(method, config, num_classes)
    source = sum(trace.encoder_tokens.values())
    dim = config.embed_dim
    positions = len(trace.decoder_exits) * trace.num_positions
    encoder_macs = sum(
        exit_layer * encoder_layer_macs(config, trace.encoder_tokens[stream])
        for stream, exit_layer in trace.encoder_exits.items()
    )
    return FlopsBreakdown(
        resnet=2.0 * sum(resnet_macs(config.resnet_blocks, config.resnet_width, image_size)),
        image_proj=2.0 * patch_grid_side(image_size) ** 2 * 16 * config.resnet_width * dim,
        position_bias=2.0 * position_bias_macs(dim, trace.encoder_tokens, positions),
        encoder=2.0 * encoder_macs,
        cross_kv=2.0 * max(trace.decoder_exits, default=0) * cross_kv_macs(config, source),
        decoder=2.0 * _decoder_macs(trace, config, source, method.skipped_layers),
        head=reading.answer_flops(trace),
        rule=_state_score_flops(trace, config, method)
        + reading.below_flops(trace)
        + reading.score_flops(trace, config.num_decoder_layers),
    )


def flops_reduction(
    traces: Sequence[Trace],
    config: OFAConfig,
    image_size: int,
    method: Method | None = None,
    num_classes: int | None = None,
) -> FlopsReduction:
    """Compare traces with their full-depth twins: the same samples and words, no exits, no rule,
    the model's own head.

    Raises ValueError without traces.
    """
    if not traces:
        raise ValueError("a FLOPs reduction needs at least one trace")
    mean = _mean([trace_flops(each, config, image_size, method, num_classes) for each in traces])
    twins = [full_depth_twin(trace, config) for trace in traces]
    reference = _mean(
        [trace_flops(twin, config, image_size, num_classes=num_classes) for twin in twins]
    )
    return FlopsReduction(1.0 - mean.total / reference.total, mean, reference)


def method_reading(method: Method, config: OFAConfig, num_classes: int | None = None) -> Reading:
    """Return what reading the decoder's states out costs under a method, its exit score included.

    num_classes: that are read out, None for the vocabulary.
    """
    classes = config.vocab_size if num_classes is None else num_classes
    macs = partial(method.head.macs, embed_dim=config.embed_dim, num_classes=classes)
    score = method.score("decoder")
    if score is None or score.source != "logits":
        return Reading(macs, classes)
    unread = method.rule("decoder").full_depth_steps
    return Reading(macs, classes, True, score.flops_per_value, unread)


def full_depth_twin(trace: Trace, config: OFAConfig) -> Trace:
    """Return the same trace with every exit at the last layer."""
    return replace(
        trace,
        encoder_exits=dict.fromkeys(trace.encoder_exits, config.num_encoder_layers),
        decoder_exits=(config.num_decoder_layers,) * len(trace.decoder_exits),
    )


def patch_grid_side(image_size: int) -> int:
    """Return the side of the patch grid: four halvings, each rounded up."""
    for _ in range(4):
        image_size = _halve(image_size)
    return image_size


def resnet_macs(
    blocks: tuple[int, int, int], width: int, image_size: int
) -> tuple[int, int, int, int]:
    """Return the multiply-adds of the stem and the three stages for one image."""
    side = _halve(image_size)
    stem = side**2 * width * 3 * 7**2
    side = _halve(side)
    first = _stage_macs(blocks[0], width, width, side, side)
    second = _stage_macs(blocks[1], 4 * width, 2 * width, side, _halve(side))
    side = _halve(side)
    third = _stage_macs(blocks[2], 8 * width, 4 * width, side, _halve(side))
    return stem, first, second, third


def encoder_layer_macs(config: OFAConfig, tokens: int) -> int:
    """Return the multiply-adds of one encoder layer on a stream of so many tokens."""
    dim, ffn = config.embed_dim, config.ffn_dim
    return tokens * (4 * dim**2 + 2 * dim * ffn) + 2 * tokens**2 * dim


def cross_kv_macs(config: OFAConfig, source: int) -> int:
    """Return the multiply-adds of one decoder layer's cross keys and values, S encoder tokens,
    shared by all hypotheses and steps.
    """
    return 2 * source * config.embed_dim**2


def decoder_layer_macs(config: OFAConfig, queries: int, keys: int, source: int) -> int:
    """Return the multiply-adds of one decoder layer for one hypothesis: new positions,
    self-attention keys, encoder tokens.
    """
    dim, ffn = config.embed_dim, config.ffn_dim
    return queries * (6 * dim**2 + 2 * dim * ffn + 2 * (keys + source) * dim)


def position_bias_macs(dim: int, encoder_tokens: Mapping[str, int], positions: int) -> int:
    """Return the multiply-adds of the absolute position biases: each stream's, the decoder's own
    and its cross one, T positions.
    """
    source = sum(encoder_tokens.values())
    encoder = sum(2 * tokens * dim**2 + tokens**2 * dim for tokens in encoder_tokens.values())
    decoder = 2 * positions * dim**2 + positions**2 * dim
    cross = (positions + source) * dim**2 + positions * source * dim
    return encoder + decoder + cross


def _halve(side: int) -> int:
    return (side + 1) // 2


def _stage_macs(
    num_blocks: int, in_channels: int, channels: int, in_side: int, out_side: int
) -> int:
    """Bottlenecks of ResNet v1.5: the 3x3 of the first one strides, and its shortcut is a 1x1
    convolution.
    """
    out_channels = 4 * channels
    inside = out_side**2 * (9 * channels**2 + channels * out_channels)
    first = in_side**2 * in_channels * channels + inside + out_side**2 * in_channels * out_channels
    other = out_side**2 * out_channels * channels + inside
    return first + (num_blocks - 1) * other


def _decoder_macs(
    trace: Trace, config: OFAConfig, source: int, skipped_layers: SkippedPolicy
) -> int:
    """Decoder layers of all steps, and what earlier words cost in layers that they skipped and a
    later step enters.
    """
    positions, last = trace.num_positions, config.num_decoder_layers
    depths: list[int] = []  # per earlier step: up to which layer its keys and values exist
    total = 0
    for step, (exit_layer, hypotheses) in enumerate(
        zip(trace.decoder_exits, trace.num_hypotheses, strict=True), start=1
    ):
        layer = decoder_layer_macs(config, positions, step * positions, source)
        filling = _filling_macs(skipped_layers, layer, 2 * positions * config.embed_dim**2)
        filled = sum(
            filling(entered == last)
            for depth in depths
            for entered in range(depth + 1, exit_layer + 1)
        )
        total += hypotheses * (exit_layer * layer + filled)
        depths = [max(depth, exit_layer) for depth in depths] + [exit_layer]
    return total


def _filling_macs(
    skipped_layers: SkippedPolicy, layer: int, projection: int
) -> Callable[[bool], int]:
    """Return what one skipped word costs in one layer, by whether it is the last. layer: a whole
    one; projection: its keys and values.
    """
    match skipped_layers:
        case "project":
            return lambda is_last: projection
        case "recompute":
            return lambda is_last: projection if is_last else layer
        case "copy":
            return lambda is_last: 0


def _state_score_flops(trace: Trace, config: OFAConfig, method: Method) -> float:
    """Exit scores of states: one per layer run, except after the last one, where there is nothing
    left to skip.
    """
    total = 0.0
    for stream, exit_layer in trace.encoder_exits.items():
        layers = min(exit_layer, config.num_encoder_layers - 1)
        values = config.embed_dim * trace.encoder_tokens[stream]
        total += layers * _score_flops(method, stream, values)
    first = method.rule("decoder").full_depth_steps
    for exit_layer, hypotheses in _steps(trace)[first:]:
        layers = min(exit_layer, config.num_decoder_layers - 1)
        values = config.embed_dim * trace.num_positions * hypotheses
        total += layers * _score_flops(method, "decoder", values)
    return total


def _steps(trace: Trace) -> list[tuple[int, int]]:
    return list(zip(trace.decoder_exits, trace.num_hypotheses, strict=True))


def _score_flops(method: Method, stream: str, values: int) -> float:
    """Operations of a row's exit score after one layer, on so many values of its states."""
    score = method.score(stream)
    if score is None or score.source != "states":
        return 0.0
    return score.flops_per_value * values + score.flops_per_row


def _mean(breakdowns: Sequence[FlopsBreakdown]) -> FlopsBreakdown:
    return FlopsBreakdown(
        **{
            field.name: fmean(getattr(b, field.name) for b in breakdowns)
            for field in fields(FlopsBreakdown)
        }
    )
