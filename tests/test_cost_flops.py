"""Analytic costs against two independent sources: the released sizes worked out elsewhere, and
PyTorch's counter on the real modules.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import get_args

import method_rows as methods
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from method_rows import mue, static
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from mue_cli.cost.flops import (
    cross_kv_macs,
    decoder_layer_macs,
    encoder_layer_macs,
    flops_reduction,
    full_depth_twin,
    method_reading,
    patch_grid_side,
    position_bias_macs,
    resnet_macs,
    trace_flops,
)
from mue_cli.exits.confidence import SOFTMAX_FLOPS
from mue_cli.exits.decay import Decay
from mue_cli.exits.heads import ImitationHead, LayerHeads
from mue_cli.exits.methods import Method, SkippedPolicy, full
from mue_cli.exits.observation import Observation
from mue_cli.exits.static import StaticRule
from mue_cli.exits.trace import Trace
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.attention import Attend, Attention
from mue_cli.model.config import OFAConfig, preset
from mue_cli.model.encoder import joint_stream, separate_streams
from mue_cli.model.layers import DecoderLayer
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

GIGA = 1e9
SMALL = preset(
    "nano",
    vocab_size=50,
    embed_dim=24,
    ffn_dim=40,
    num_heads=3,
    num_encoder_layers=3,
    num_decoder_layers=4,
    resnet_blocks=(1, 2, 1),
)


def beam_trace(config: OFAConfig, image_size: int) -> Trace:
    """Full depth, 8-token prompt, 17 steps of 5 hypotheses: the setting of the published-size
    arithmetic.
    """
    source = patch_grid_side(image_size) ** 2 + 8
    exits = (config.num_decoder_layers,) * 17
    return Trace("a", {"joint": config.num_encoder_layers}, {"joint": source}, exits, 17, (5,) * 17)


@pytest.mark.parametrize(
    (
        "image_size",
        "stages",
        "image_proj",
        "layer",
        "encoder",
        "cross_kv",
        "decoder_layer",
        "decoding",
    ),
    [
        (224, (0.12, 0.67, 1.03, 5.18), 0.15, 1.51, 9.05, 0.24, 0.0086, (4.38, 1.44, 3.88)),
        (384, (0.35, 1.96, 3.02, 15.21), 0.45, 4.66, 27.94, 0.69, 0.0092, (4.68, 4.13, 3.88)),
        (480, (0.54, 3.07, 4.72, 23.77), 0.71, 7.69, 46.16, 1.07, 0.0097, (4.93, 6.43, 3.88)),
    ],
)
def test_base_size_matches_its_arithmetic_in_giga_macs(
    image_size: int,
    stages: tuple[float, ...],
    image_proj: float,
    layer: float,
    encoder: float,
    cross_kv: float,
    decoder_layer: float,
    decoding: tuple[float, float, float],
) -> None:
    config = preset("base")
    source = patch_grid_side(image_size) ** 2 + 8
    counted = trace_flops(beam_trace(config, image_size), config, image_size)
    assert [
        macs / GIGA for macs in resnet_macs(config.resnet_blocks, config.resnet_width, image_size)
    ] == pytest.approx(stages, abs=0.006)
    assert counted.image_proj / 2 / GIGA == pytest.approx(image_proj, abs=0.005)
    assert encoder_layer_macs(config, source) / GIGA == pytest.approx(layer, abs=0.005)
    assert counted.encoder / 2 / GIGA == pytest.approx(encoder, abs=0.005)
    assert cross_kv_macs(config, source) / GIGA == pytest.approx(cross_kv, abs=0.005)
    assert decoder_layer_macs(config, queries=1, keys=9, source=source) / GIGA == pytest.approx(
        decoder_layer, abs=0.00005
    )
    assert method_reading(full(True), config).macs(1) / GIGA == pytest.approx(0.0457, abs=0.00005)
    assert [
        part / 2 / GIGA for part in (counted.decoder, counted.cross_kv, counted.head)
    ] == pytest.approx(decoding, abs=0.005)


@pytest.mark.parametrize(
    ("name", "resnet", "encoder", "decoding"),
    [("tiny", 15.05, 4.54, 2.24), ("medium", 32.1, 14.8, 6.06), ("large", 49.1, 157, 44.9)],
)
def test_other_sizes_at_480_pixels_match_their_arithmetic(
    name: str, resnet: float, encoder: float, decoding: float
) -> None:
    config = preset(name)
    counted = trace_flops(beam_trace(config, 480), config, 480)
    assert counted.resnet / 2 / GIGA == pytest.approx(resnet, rel=0.002)
    assert counted.encoder / 2 / GIGA == pytest.approx(encoder, rel=0.003)
    assert (counted.decoder + counted.cross_kv + counted.head) / 2 / GIGA == pytest.approx(
        decoding, rel=0.002
    )


def test_text_layer_is_nothing_beside_an_image_layer() -> None:
    config = preset("base")
    assert encoder_layer_macs(config, 8) / GIGA == pytest.approx(0.06, abs=0.005)
    assert encoder_layer_macs(config, 900) / GIGA == pytest.approx(7.6, abs=0.02)


def test_forty_per_cent_of_the_layers_is_a_quarter_of_the_operations() -> None:
    """40 % of encoder and decoder layers (3.6 of 6 on average) saves about 24 % of base at 480
    pixels: Eq. 14 is not a cost.
    """
    config = preset("base")
    exits = (3, 4, 4, 3, 4) * 3 + (3, 4)
    traces = [
        replace(beam_trace(config, 480), encoder_exits={"joint": depth}, decoder_exits=exits)
        for depth in (3, 4, 4, 3, 4)
    ]
    assert flops_reduction(traces, config, 480).reduction == pytest.approx(0.24, abs=0.01)


@pytest.mark.parametrize(
    ("image_size", "side"), [(480, 30), (384, 24), (224, 14), (64, 4), (65, 5), (50, 4)]
)
def test_patch_grid_rounds_up(image_size: int, side: int) -> None:
    assert patch_grid_side(image_size) == side


def counted_flops(run: Callable[[], object]) -> int:
    """Count with PyTorch; the plain attention kernel, because the counter does not see into the
    fused one of the CPU.
    """
    counter = FlopCounterMode(display=False)
    with torch.no_grad(), sdpa_kernel(SDPBackend.MATH), counter:
        run()
    return counter.get_total_flops()


@pytest.fixture(scope="module")
def model() -> OFA:
    torch.manual_seed(0)
    return OFA(SMALL).eval().requires_grad_(False)


@pytest.mark.parametrize("image_size", [64, 50])
def test_trunk_and_projection_match_pytorchs_counter(model: OFA, image_size: int) -> None:
    counted = trace_flops(Trace("a", {}, {}, (), 0, ()), SMALL, image_size)
    real = counted_flops(
        lambda: model.encoder.embed(
            torch.randn(1, 3, image_size, image_size), torch.tensor([[0, 5, 6, 2]])
        )
    )
    assert counted.resnet + counted.image_proj == real


@pytest.mark.parametrize("exits", [{"image": 2, "text": 3}, {"image": 1, "text": 1}, {"joint": 2}])
def test_encoder_matches_pytorchs_counter(model: OFA, exits: dict[str, int]) -> None:
    tokens = {"image": 16, "text": 7} if "image" in exits else {"joint": 23}
    embedded = model.encoder.embed(torch.randn(1, 3, 64, 64), torch.tensor([[0, 5, 6, 7, 8, 9, 2]]))
    streams = (separate_streams if "image" in exits else joint_stream)(*embedded)

    def layers() -> None:
        for stream in streams:
            hidden = stream.hidden
            for layer in model.encoder.layers[: exits[stream.name]]:
                hidden = layer(hidden, torch.zeros(1, 3, hidden.shape[1], hidden.shape[1]))

    counted = trace_flops(Trace("a", exits, tokens, (), 0, ()), SMALL, 64)
    assert counted.encoder == counted_flops(layers)


def test_position_biases_match_pytorchs_counter_and_stay_out_of_the_total(model: OFA) -> None:
    image, text = model.encoder.embed(torch.randn(1, 3, 64, 64), torch.tensor([[0, 5, 2]]))
    positions = model.encoder.position_embedding(joint_stream(image, text)[0].layout)

    def biases() -> None:
        model.encoder.absolute_bias(image.layout)
        model.encoder.absolute_bias(text.layout)
        model.decoder.absolute_self_bias(5)
        model.decoder.cross_bias(5, positions)

    assert 2 * position_bias_macs(SMALL.embed_dim, {"image": 16, "text": 3}, 5) == counted_flops(
        biases
    )
    counted = trace_flops(
        Trace("a", {"image": 1, "text": 1}, {"image": 16, "text": 3}, (1,) * 5, 5, (1,) * 5),
        SMALL,
        64,
    )
    assert counted.position_bias == counted_flops(biases)
    parts = (
        counted.resnet,
        counted.image_proj,
        counted.encoder,
        counted.cross_kv,
        counted.decoder,
        counted.head,
        counted.rule,
    )
    assert counted.total == sum(parts)


class SlowDecoder:
    """Decoding by hand for one image: every module call spelt out; what words skipped is made up
    for when a later word needs it.
    """

    def __init__(
        self, model: OFA, encoded: Tensor, num_positions: int, policy: SkippedPolicy
    ) -> None:
        self.decoder, self.encoded, self.num_positions, self.policy = (
            model.decoder,
            encoded,
            num_positions,
            policy,
        )
        self.cross: dict[int, tuple[Tensor, Tensor]] = {}
        self.known: dict[int, list[tuple[Tensor, Tensor]]] = {
            i: [] for i in range(len(model.decoder.layers))
        }
        self.states: list[Tensor] = []

    def step(self, depth: int, hypotheses: int) -> None:
        x = torch.randn(1, hypotheses * self.num_positions, SMALL.embed_dim)
        for i in range(depth):
            layer = self.decoder.layers[i]
            assert isinstance(layer, DecoderLayer)
            if i not in self.cross:
                self.cross[i] = layer.cross_keys_values(self.encoded)
            missing = range(len(self.known[i]), len(self.states))
            for word in missing:
                self.make_up(i, word, hypotheses)
            own = len(self.states)
            x = layer(x, *self.attention(i, own, hypotheses))
            if self.policy == "recompute" and i + 1 < len(self.decoder.layers):
                for word in missing:
                    again = self.states[word][:hypotheses].reshape(1, hypotheses, -1)
                    after = layer(again, *self.attention(i, word, hypotheses))
                    self.states[word] = after.transpose(0, 1)
        self.states.append(x.unflatten(1, (hypotheses, -1)).flatten(0, 1))
        self.decoder.logits(x.unflatten(1, (hypotheses, -1))[:, :, -1])

    def make_up(self, i: int, word: int, hypotheses: int) -> None:
        """Give a word keys and values in layer i; when it is to run through the layer, they are
        made there.
        """
        if self.policy == "copy":
            self.known[i].append(self.known[i - 1][word])
        elif self.policy == "project" or i + 1 == len(self.decoder.layers):
            layer = self.decoder.layers[i]
            assert isinstance(layer, DecoderLayer)
            self.known[i].append(layer.self_keys_values(self.states[word][:hypotheses]))
        else:
            shape = (hypotheses, SMALL.num_heads, 1, SMALL.embed_dim // SMALL.num_heads)
            self.known[i].append((torch.zeros(shape), torch.zeros(shape)))

    def remember(self, i: int, word: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        self.known[i][word : word + 1] = [(keys, values)]
        return torch.cat([k[: len(keys)] for k, _ in self.known[i]], 2), torch.cat(
            [v[: len(keys)] for _, v in self.known[i]], 2
        )

    def attention(self, i: int, word: int, hypotheses: int) -> tuple[Attend, Attend]:
        """Return a layer's attention to the words so far, and to the picture."""

        def attend_self(attention: Attention, x: Tensor) -> Tensor:
            own = x.unflatten(1, (hypotheses, -1)).flatten(0, 1)  # (1, Q T, D) -> (Q, T, D)
            keys, values = self.remember(i, word, *attention.keys_values(own))
            return attention(own, keys, values, None).view_as(x)

        return attend_self, lambda attention, x: attention(x, *self.cross[i], None)


@pytest.mark.parametrize("policy", get_args(SkippedPolicy))
@pytest.mark.parametrize(
    ("exits", "hypotheses", "num_positions"),
    [
        ((4, 4, 4), (1, 1, 1), 1),
        ((1, 2, 1, 4, 2, 3), (1,) * 6, 1),
        ((2, 1, 1, 3), (5, 4, 4, 2), 1),
        ((1, 1, 2), (3, 3, 3), 1),
        ((2,), (1,), 9),
        ((3,), (3,), 6),
    ],
)
def test_decoder_matches_pytorchs_counter(
    model: OFA,
    exits: tuple[int, ...],
    hypotheses: tuple[int, ...],
    num_positions: int,
    policy: SkippedPolicy,
) -> None:
    source = 19
    slow = SlowDecoder(model, torch.randn(1, source, SMALL.embed_dim), num_positions, policy)

    def decode() -> None:
        for depth, rows in zip(exits, hypotheses, strict=True):
            slow.step(depth, rows)

    real = counted_flops(decode)
    trace = Trace(
        "a",
        {"image": 1, "text": 1},
        {"image": 16, "text": 3},
        exits,
        len(exits),
        hypotheses,
        num_positions,
    )
    counted = trace_flops(trace, SMALL, 64, without_rules(policy))
    assert counted.cross_kv + counted.decoder + counted.head == real


@dataclass(frozen=True)
class Scripted:
    """A rule that lets every row go after a layer that is laid down for each decoding step."""

    layers: tuple[int, ...]
    can_fire: bool = True
    score: None = None
    full_depth_steps: int = 0

    def __call__(self, observation: Observation) -> Tensor:
        leaves = observation.layer >= self.layers[(observation.step or 1) - 1]
        return torch.full((len(observation.after),), leaves)


SCRIPT = Scripted((1, 2, 1, 4, 2, 3))


def inputs() -> tuple[Tensor, Tensor]:
    return torch.randn(1, 3, 64, 64, generator=torch.Generator().manual_seed(3)), torch.tensor(
        [[0, 5, 6, 7, 8, 9, 2]]
    )


@pytest.mark.parametrize("policy", get_args(SkippedPolicy))
@pytest.mark.parametrize(
    ("method", "beam"),
    [
        (full(True), 1),
        (
            Method(
                "scripted", True, {"image": StaticRule(2), "text": StaticRule(1), "decoder": SCRIPT}
            ),
            1,
        ),
        (Method("scripted", False, {"joint": StaticRule(2), "decoder": SCRIPT}), 2),
        (mue({"image": -1.0, "text": -1.0, "decoder": -1.0}, True, None), 2),
    ],
    ids=["full", "streams", "joint-beam", "similarity"],
)
def test_generating_a_caption_costs_what_its_trace_says(
    model: OFA, method: Method, beam: int, policy: SkippedPolicy
) -> None:
    tables, traces, method = PositionTables(model), [], replace(method, skipped_layers=policy)

    def caption() -> None:
        encoded = encode(model, tables, method, *inputs())
        result = generate(
            model, tables, method, encoded, SearchSection(beam=beam, max_tokens=5, min_tokens=5)
        )[0]
        exits = {stream: layers[0] for stream, layers in encoded.exit_layers.items()}
        tokens = {stream: count[0] for stream, count in encoded.num_tokens.items()}
        steps = tuple(result.exit_layers)
        traces.append(
            Trace("a", exits, tokens, steps, len(result.best.tokens), tuple(result.num_hypotheses))
        )

    caption()  # builds the position tables
    real = counted_flops(caption)
    counted = trace_flops(traces[-1], SMALL, 64, without_rules(policy))
    assert counted.total == real
    if method.name == "scripted":
        assert traces[-1].decoder_exits == SCRIPT.layers


@pytest.mark.parametrize("name", ["calm", "deebert", "pabee", "deecap"])
@pytest.mark.parametrize("beam", [1, 2])
def test_what_rules_read_is_charged_to_them(model: OFA, name: str, beam: int) -> None:
    """PyTorch's counter sees the products; a softmax, or for pabee the largest logit, of every
    layer comes on top.
    """
    torch.manual_seed(0)
    heads, imitation = (
        LayerHeads(4, SMALL.embed_dim, SMALL.vocab_size),
        ImitationHead(4, SMALL.embed_dim),
    )
    method = {
        "calm": methods.calm(0.2, True, Decay(1.0, 0.0)),
        "deebert": methods.deebert(0.3, heads, True),
        "pabee": methods.pabee(1, heads, True),
        "deecap": methods.deecap(0.2, imitation, True),
    }[name]
    tables, traces = PositionTables(model), []

    def caption() -> None:
        encoded = encode(model, tables, method, *inputs())
        result = generate(
            model, tables, method, encoded, SearchSection(beam=beam, max_tokens=5, min_tokens=5)
        )[0]
        exits, tokens = (
            {"image": 3, "text": 3},
            {stream: count[0] for stream, count in encoded.num_tokens.items()},
        )
        traces.append(
            Trace("a", exits, tokens, tuple(result.exit_layers), 6, tuple(result.num_hypotheses))
        )

    caption()  # builds the position tables
    real = counted_flops(caption)
    trace = traces[-1]
    counted = trace_flops(trace, SMALL, 64, method)
    asked = sum(
        hyps * min(layer, 3)
        for layer, hyps in zip(trace.decoder_exits, trace.num_hypotheses, strict=True)
    )
    per_class = 1 if name == "pabee" else SOFTMAX_FLOPS
    assert counted.total - per_class * SMALL.vocab_size * asked == real
    assert counted.rule > 0


def test_steps_that_are_never_cut_short_cost_no_rule(model: OFA) -> None:
    """Three words at layer 4 of 4, the first two unasked: one comparison per layer but the last, or
    three readings and their softmax.
    """
    trace = Trace("a", {"image": 3, "text": 3}, {"image": 16, "text": 3}, (4, 4, 4), 3, (1, 1, 1))
    for method, of_one_word in (
        (mue({"decoder": 0.5}, True, Decay(full_depth_steps=2)), 3 * 6 * SMALL.embed_dim),
        (
            methods.calm(0.5, True, Decay(full_depth_steps=2)),
            3 * (2 * SMALL.embed_dim * 50 + SOFTMAX_FLOPS * 50),
        ),
    ):
        assert method.rule("decoder").full_depth_steps == 2
        assert trace_flops(trace, SMALL, 64, method).rule == of_one_word


@pytest.mark.parametrize(
    "method",
    [full(True), static({"image": 1, "text": 3, "decoder": 2}, True)],
    ids=["full", "static"],
)
def test_answering_costs_what_its_trace_says(model: OFA, method: Method) -> None:
    tables, traces = PositionTables(model), []

    def reply() -> None:
        encoded = encode(model, tables, method, *inputs())
        result = answer(
            model, tables, method, encoded, torch.tensor([[0, 5, 6, 7, 8]]), [10, 11, 12]
        )[0]
        exits = {stream: layers[0] for stream, layers in encoded.exit_layers.items()}
        tokens = {stream: count[0] for stream, count in encoded.num_tokens.items()}
        traces.append(
            Trace("a", exits, tokens, (result.exit_layer,), 1, (1,), result.num_positions)
        )

    reply()
    assert trace_flops(traces[-1], SMALL, 64, num_classes=3).total == counted_flops(reply)
    assert traces[-1].num_positions == 5


def test_skipped_layers_cost_only_when_a_later_step_enters_them() -> None:
    """Two words, 2 of 4 layers: the first leaves after one, and the second needs its second layer;
    or the other way round.
    """
    trace = Trace("a", {"joint": 1}, {"joint": 19}, (2, 2), 2, (1, 1))
    first, second, projection = (
        decoder_layer_macs(SMALL, 1, 1, 19),
        decoder_layer_macs(SMALL, 1, 2, 19),
        2 * SMALL.embed_dim**2,
    )
    for policy, filling in (("project", projection), ("recompute", second), ("copy", 0)):
        assert decoder_flops((1, 2), policy) - decoder_flops((1, 1), policy) == 2 * (
            second + filling
        )
        assert decoder_flops((2, 1), policy) == decoder_flops((2, 2), policy) - 2 * second
    assert trace_flops(trace, SMALL, 64).decoder == 2 * 2 * (first + second)


def test_of_the_last_layer_a_skipped_word_needs_keys_and_values_alone() -> None:
    """Second word through all 4 layers, first word out after 1: layers 2 and 3 in full, of layer 4
    the projection.
    """
    second, projection = decoder_layer_macs(SMALL, 1, 2, 19), 2 * SMALL.embed_dim**2
    assert decoder_flops((1, 4), "recompute") - decoder_flops((1, 4), "copy") == 2 * (
        2 * second + projection
    )
    assert decoder_flops((1, 4), "project") - decoder_flops((1, 4), "copy") == 2 * 3 * projection


def without_rules(policy: SkippedPolicy) -> Method:
    return Method("full", True, skipped_layers=policy)


def similarity_of(*streams: str) -> Method:
    return mue(dict.fromkeys(streams, 0.5), True, None)


def decoder_flops(exits: tuple[int, ...], policy: SkippedPolicy) -> float:
    trace = Trace("a", {"joint": 1}, {"joint": 19}, exits, len(exits), (1,) * len(exits))
    return trace_flops(trace, SMALL, 64, without_rules(policy)).decoder


def test_rule_costs_six_operations_per_value_and_none_where_nobody_asks() -> None:
    trace = Trace("a", {"image": 2, "text": 3}, {"image": 16, "text": 7}, (1, 4), 2, (5, 3))
    dim = SMALL.embed_dim
    assert trace_flops(trace, SMALL, 64).rule == 0
    assert trace_flops(trace, SMALL, 64, similarity_of("image")).rule == 6 * dim * 16 * 2
    # text ran all 3 layers: after the last there is nothing to ask. Decoder: one layer of 5
    # hypotheses, then three of 3.
    assert trace_flops(trace, SMALL, 64, similarity_of("text", "decoder")).rule == 6 * dim * (
        7 * 2 + 5 * 1 + 3 * 3
    )
    assert trace_flops(trace, SMALL, 64, similarity_of("joint")).rule == 0


def test_reduction_is_against_the_same_words_at_full_depth() -> None:
    trace = Trace("a", {"image": 1, "text": 2}, {"image": 16, "text": 7}, (1, 2, 1), 2, (2, 2, 2))
    twin = full_depth_twin(trace, SMALL)
    assert (twin.encoder_exits, twin.decoder_exits) == ({"image": 3, "text": 3}, (4, 4, 4))
    result = flops_reduction([trace], SMALL, 64, similarity_of("image", "text", "decoder"))
    assert result.full == trace_flops(twin, SMALL, 64)
    assert result.reduction == pytest.approx(1 - result.mean.total / result.full.total)
    assert 0 < result.reduction < 1
    assert result.full.resnet == result.mean.resnet
    assert result.full.head == result.mean.head


def test_mean_is_over_samples() -> None:
    short = Trace("a", {"joint": 1}, {"joint": 20}, (1,), 1, (1,))
    long = Trace("b", {"joint": 3}, {"joint": 20}, (4, 4), 2, (1, 1))
    mean = flops_reduction([short, long], SMALL, 64).mean
    assert mean.encoder == pytest.approx(2 * 2 * encoder_layer_macs(SMALL, 20))
    assert mean.head == pytest.approx(1.5 * 2 * method_reading(full(True), SMALL).macs(1))


def test_no_traces_no_reduction() -> None:
    with pytest.raises(ValueError, match="at least one trace"):
        flops_reduction([], SMALL, 64)


@given(
    st.lists(st.tuples(st.integers(1, 4), st.integers(1, 5)), min_size=1, max_size=6),
    st.integers(1, 3),
    st.integers(1, 3),
    st.sampled_from(get_args(SkippedPolicy)),
)
def test_exits_never_cost_more_than_full_depth_without_the_rule(
    steps: list[tuple[int, int]], image: int, text: int, policy: SkippedPolicy
) -> None:
    """But for one case: a word skipped by one hypothesis and run later for every hypothesis of the
    beam that follows it.
    """
    exits, hypotheses = zip(*steps, strict=True)
    assume(policy != "recompute" or list(hypotheses) == sorted(hypotheses, reverse=True))
    trace = Trace(
        "a", {"image": image, "text": text}, {"image": 16, "text": 7}, exits, len(exits), hypotheses
    )
    result = flops_reduction([trace], SMALL, 64, without_rules(policy))
    assert -1e-12 <= result.reduction < 1
