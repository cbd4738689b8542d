"""Methods of the tables: hand-worked rules and readouts, and what all methods share."""

import math
from dataclasses import replace

import method_rows as methods
import pytest
import torch
from method_rows import confidence_rule, entropy_rule, margin_rule, patience_rule
from small_ofa import pad, small_inputs, small_model
from torch import Tensor

from mue_cli.exits.confidence import confidence, margin
from mue_cli.exits.decay import Decay
from mue_cli.exits.entropy import certainty
from mue_cli.exits.heads import ImitationHead, LayerHeads, ModelHead, SharedHead
from mue_cli.exits.methods import Method
from mue_cli.exits.observation import Observation
from mue_cli.exits.threshold import ThresholdRule
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

LN2, LN4 = math.log(2), math.log(4)
ANYTHING = torch.zeros(2, 1, 3)


def seen(logits: Tensor, layer: int = 1, memory: dict[str, Tensor] | None = None) -> Observation:
    return Observation(
        layer, ANYTHING, ANYTHING, logits=lambda: logits, memory={} if memory is None else memory
    )


def probabilities(*rows: list[list[float]]) -> Tensor:
    return torch.tensor(rows).log()


LOGITS = probabilities([[0.5, 0.25, 0.125, 0.125]], [[0.25, 0.25, 0.25, 0.25]])
"""Two rows of one position, four classes."""


def test_certainty_is_one_less_the_share_of_the_largest_entropy():
    """Row 1: 0.5 ln 2 + 0.25 ln 4 + 2 * 0.125 ln 8 = 1.75 ln 2, of ln 4: 0.875. Row 2 is uniform:
    1.
    """
    assert certainty(LOGITS).tolist() == pytest.approx([0.125, 0.0], abs=1e-6)


def test_deeberts_entropy_threshold_is_the_certainty_threshold():
    """Leaving below S = 1.8 ln 2 nats is leaving above 1 - 1.8 ln 2 / ln 4 = 0.1."""
    assert entropy_rule(1.0 - 1.8 * LN2 / LN4)(seen(LOGITS)).tolist() == [True, False]
    assert entropy_rule(1.0 - 1.7 * LN2 / LN4)(seen(LOGITS)).tolist() == [False, False]


def test_confidence_is_the_largest_probability_and_margin_the_lead_over_the_second():
    assert confidence(LOGITS).tolist() == pytest.approx([0.5, 0.25])
    assert margin(LOGITS).tolist() == pytest.approx([0.25, 0.0])
    assert confidence_rule(0.4)(seen(LOGITS)).tolist() == [True, False]
    assert margin_rule(0.2)(seen(LOGITS)).tolist() == [True, False]


def test_hypotheses_of_a_beam_are_averaged():
    beam = probabilities([[0.5, 0.25, 0.125, 0.125], [0.25, 0.25, 0.25, 0.25]])
    assert certainty(beam).tolist() == pytest.approx([0.0625], abs=1e-6)
    assert confidence(beam).tolist() == pytest.approx([0.375])
    assert margin(beam).tolist() == pytest.approx([0.125])


def test_calms_threshold_decays_with_the_step():
    """theta 0.3, beta 0.9, tau 4, N 10: step 1 asks for 0.27 + 0.1 exp(-0.4) = 0.337, step 10 for
    0.27 + 0.1 exp(-4) = 0.272.
    """
    rule = margin_rule(0.3, Decay(0.9, 4.0))
    assert rule.threshold_at(1, 10) == pytest.approx(0.27 + 0.1 * math.exp(-0.4))
    assert rule.threshold_at(10, 10) == pytest.approx(0.27 + 0.1 * math.exp(-4.0))


def answers_of(*layers: list[int]) -> list[Tensor]:
    """Logits of one row per layer; each number is the class that every hypothesis of the row
    prefers, by layer.
    """
    return [torch.nn.functional.one_hot(torch.tensor([layer]), 4).float() for layer in layers]


def leaves_at(rule: ThresholdRule, layers: list[Tensor]) -> int | None:
    memory: dict[str, Tensor] = {}
    for number, logits in enumerate(layers, start=1):
        if rule(seen(logits, number, memory)).item():
            return number
    return None


def test_patience_counts_layers_that_agree_with_the_one_before():
    """Answers 2 1 1 1 3: the count is 0 0 1 2 0."""
    layers = answers_of([2], [1], [1], [1], [3])
    assert leaves_at(patience_rule(1), layers) == 3
    assert leaves_at(patience_rule(2), layers) == 4
    assert leaves_at(patience_rule(3), layers) is None


def test_patience_starts_again_when_the_answer_changes():
    assert leaves_at(patience_rule(2), answers_of([1], [1], [2], [2], [2])) == 5


def test_patience_waits_for_all_hypotheses():
    layers = answers_of([1, 2], [1, 3], [1, 3])
    assert leaves_at(patience_rule(1), layers) == 3


def test_rule_that_wants_logits_of_a_stream_without_a_readout_is_an_error():
    with pytest.raises(ValueError, match="not read out"):
        entropy_rule(0.5)(Observation(1, ANYTHING, ANYTHING))


HEAD = ModelHead(
    norm=lambda states: states / 2, project=lambda states: states @ torch.eye(3)[:, :2]
)


def test_layer_heads_read_every_row_with_the_head_of_its_layer_and_the_last_with_the_models_own():
    heads = LayerHeads(num_layers=3, embed_dim=3, num_classes=2)
    with torch.no_grad():
        for norm, head, scale in zip(heads.norms, heads.heads, (10.0, 20.0), strict=True):
            norm.weight.zero_()
            norm.bias.fill_(1.0)
            head.weight.fill_(scale)
    states = torch.tensor([[[2.0, 4.0, 6.0]]] * 4)
    read = heads(states, [2, 3, 1, 2], HEAD)
    assert read[:, 0].tolist() == [[60.0, 60.0], [1.0, 2.0], [30.0, 30.0], [60.0, 60.0]]


def test_imitation_adds_what_deeper_layers_would_say():
    """Gate at one half: seen + sum of tanh(map(seen)); three layers, so layer 1 imitates two, layer
    2 one, layer 3 none.
    """
    imitation = ImitationHead(num_layers=3, embed_dim=3)
    with torch.no_grad():
        imitation.gate.weight.zero_()
        for layer, size in zip(imitation.maps, (1.0, 2.0), strict=True):
            layer.weight.zero_()
            layer.bias.fill_(size)
    states = torch.tensor([[[2.0, 4.0, 6.0]]] * 3)
    read = imitation(states, [1, 2, 3], HEAD)[:, 0]
    both, second = math.tanh(1.0) + math.tanh(2.0), math.tanh(2.0)
    assert read[0].tolist() == pytest.approx([1.0 + both, 2.0 + both])
    assert read[1].tolist() == pytest.approx([1.0 + second, 2.0 + second])
    assert read[2].tolist() == [1.0, 2.0]


def test_readouts_say_what_they_cost():
    """Embedding 3, 2 classes, 3 layers: a head is 6 products; imitation at layer 1 adds two maps
    and the gate, 9 each.
    """
    assert SharedHead().macs(1, 3, 2) == LayerHeads(3, 3, 2).macs(1, 3, 2) == 6
    imitation = ImitationHead(3, 3)
    assert [imitation.macs(layer, 3, 2) for layer in (1, 2, 3)] == [6 + 27, 6 + 18, 6]


def readouts(model: OFA, num_classes: int) -> tuple[LayerHeads, ImitationHead]:
    """Random readouts: nothing like the model's own head."""
    layers, dim = model.config.num_decoder_layers, model.config.embed_dim
    return LayerHeads(layers, dim, num_classes), ImitationHead(layers, dim)


def all_methods(model: OFA, threshold: float, patience: float, num_classes: int) -> list[Method]:
    heads, imitation = readouts(model, num_classes)
    decay = Decay(1.0, 0.0)  # Theta = theta
    streams = dict.fromkeys(("image", "text", "decoder"), threshold)
    return [
        methods.mue(streams, True, decay),
        methods.deebert(threshold, heads, True),
        methods.pabee(patience, heads, True),
        methods.deecap(threshold, imitation, True),
        methods.calm(threshold, True, decay),
    ]


SEARCH = SearchSection(beam=3, max_tokens=6)


@torch.inference_mode()
def captions(
    model: OFA, method: Method, seed: int, rows: list[int]
) -> list[tuple[tuple[int, ...], list[int]]]:
    images, texts = small_inputs(seed, 4)
    tables = PositionTables(model)
    encoded = encode(model, tables, method, images[rows], pad([texts[row] for row in rows]))
    search = (
        replace(SEARCH, beam=1) if method.name == "pabee" else SEARCH
    )  # three random hypotheses never agree at once
    return [
        (result.best.tokens, result.exit_layers)
        for result in generate(model, tables, method, encoded, search)
    ]


@torch.inference_mode()
def replies(model: OFA, method: Method, seed: int, rows: list[int]) -> list[tuple[int, int]]:
    images, texts = small_inputs(seed, 4)
    tables, tokens = PositionTables(model), pad([texts[row] for row in rows])
    encoded = encode(model, tables, method, images[rows], tokens)
    return [
        (found.choice, found.exit_layer)
        for found in answer(model, tables, method, encoded, tokens, [10, 11, 12])
    ]


@pytest.mark.parametrize("seed", range(2))
def test_method_whose_rule_is_disabled_is_the_full_model_token_for_token(seed: int):
    """Never asked; or asked at every layer, and no layer is enough."""
    model, full = small_model(seed), methods.full(True)
    for threshold, patience in ((1.01, math.inf), (1.0, model.config.num_decoder_layers)):
        for method in all_methods(model, threshold, patience, 60):
            twin = replace(full, name=method.name)
            assert captions(model, method, seed, [0, 1, 2, 3]) == captions(
                model, twin, seed, [0, 1, 2, 3]
            ), method.name
        for method in all_methods(model, threshold, patience, 3):
            assert replies(model, method, seed, [0, 1, 2, 3]) == replies(
                model, full, seed, [0, 1, 2, 3]
            ), method.name


CAPTION_THRESHOLDS = {"mue": 0.35, "deebert": 0.03, "deecap": 0.12, "calm": 0.05}
REPLY_THRESHOLDS = {"mue": 0.45, "deebert": 0.02, "deecap": 0.5, "calm": 0.2}


@pytest.mark.parametrize("name", ["mue", "deebert", "pabee", "deecap", "calm"])
def test_batch_never_changes_what_a_sample_does(name: str):
    """Rows leave at different layers of one batch, in captions and in answers to prompts of
    different lengths.
    """
    caption_exits, reply_exits = set(), set()
    for seed in range(6):
        model = small_model(seed)
        for thresholds, num_classes, run, exits in (
            (CAPTION_THRESHOLDS, 60, captions, caption_exits),
            (REPLY_THRESHOLDS, 3, replies, reply_exits),
        ):
            torch.manual_seed(seed)
            every = {
                method.name: method
                for method in all_methods(model, thresholds.get(name, 0.0), 1, num_classes)
            }
            together = run(model, every[name], seed, [0, 1, 2, 3])
            assert together == [run(model, every[name], seed, [row])[0] for row in range(4)]
            for _, layers in together:
                exits |= set(layers) if isinstance(layers, list) else {layers}
    assert len(caption_exits) > 1 and len(reply_exits) > 1
