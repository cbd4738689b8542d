"""The fast path against its twin, against itself in other batches, and against what it must not compute."""

import math
import statistics
from collections import Counter

import pytest
import torch
import twins
from small_ofa import pad, small_inputs, small_model

from mue_cli.exits.methods import Method, full, mue, static
from mue_cli.exits.similarity import Decay, similarity
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import Generated, generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe import SearchSection

DECAY = Decay(beta=0.9, tau=1.0)


@torch.inference_mode()
def run(
    model: OFA, method: Method, images: torch.Tensor, texts: list[list[int]], search: SearchSection
) -> tuple[list[dict], list[Generated]]:
    tables = PositionTables(model)
    encoded = encode(model, tables, method, images, pad(texts))
    exits = [{stream: layers[row] for stream, layers in encoded.exit_layers.items()} for row in range(len(images))]
    return exits, generate(model, tables, method, encoded, search)


@torch.inference_mode()
def middling(model: OFA, images: torch.Tensor, texts: list[list[int]], decompose: bool) -> dict[str, float]:
    """Thresholds in the middle of what each stream shows before its last layer, so that rows leave at different layers."""
    seen: dict[str, list[float]] = {"image": [], "text": [], "joint": [], "decoder": []}
    last = len(model.encoder.layers)

    def watch(stream: str):
        def probe(observation, rows):
            if observation.layer < last:
                seen[stream].extend(similarity(observation.before, observation.after, observation.padding_mask).tolist())

        return probe

    tables, probes = PositionTables(model), {stream: watch(stream) for stream in seen}
    encoded = encode(model, tables, full(decompose), images, pad(texts), probes=probes)
    generate(model, tables, full(decompose), encoded, SearchSection(beam=2, max_tokens=5), probes)
    return {stream: statistics.median(values) + 1e-4 for stream, values in seen.items() if values}


@pytest.mark.parametrize("seed", range(12))
def test_a_batch_does_what_the_slow_twin_does_to_each_sample(seed):
    model = small_model(seed)
    images, texts = small_inputs(seed, rows=5)
    decompose = seed % 3 != 0
    thresholds = middling(model, images, texts, decompose)
    search = SearchSection(beam=(1, 2, 4)[seed % 3], max_tokens=7, no_repeat_ngram=(0, 2, 3)[seed % 3])
    exits, generated = run(model, mue(thresholds, decompose, DECAY), images, texts, search)
    depths = set()
    for row in range(len(images)):
        with torch.inference_mode():
            hidden, layout, twin_exits = twins.encode(model, images[row], texts[row], thresholds, decompose)
            decoder = twins.Decoder(model, hidden, layout, thresholds["decoder"], (0.9, 1.0), search.max_tokens + 1)
            finished, steps = twins.generate(decoder, search.beam, search.max_tokens, search.min_tokens, search.no_repeat_ngram, 1.0)
        assert exits[row] == twin_exits
        assert generated[row].exit_layers == steps
        assert [list(h.tokens) for h in generated[row].hypotheses] == [tokens for tokens, _ in finished]
        assert [h.score for h in generated[row].hypotheses] == pytest.approx([score for _, score in finished], abs=1e-4)
        depths.update(steps)
    assert min(depths) < 4, "the case exercises no early exit"


@pytest.mark.parametrize("decompose", [True, False])
def test_batch_1_and_batch_16_give_the_same_tokens_and_exit_layers(decompose):
    model = small_model(21)
    images, texts = small_inputs(22, rows=16)
    method, search = mue(middling(model, images, texts, decompose), decompose, DECAY), SearchSection(beam=3, max_tokens=8)
    exits, generated = run(model, method, images, texts, search)
    assert len({tuple(sorted(e.items())) for e in exits}) > 1, "all samples leave alike: nothing is shown"
    for row in range(16):
        alone, result = run(model, method, images[row : row + 1], [texts[row]], search)
        assert alone[0] == exits[row]
        assert result[0].exit_layers == generated[row].exit_layers
        assert [h.tokens for h in result[0].hypotheses] == [h.tokens for h in generated[row].hypotheses]


def test_thresholds_above_one_give_the_tokens_of_full():
    model = small_model(5)
    images, texts = small_inputs(5, rows=4)
    never = mue(dict.fromkeys(("image", "text", "decoder"), 1.01), True, DECAY)
    exits, generated = run(model, never, images, texts, SearchSection(max_tokens=8))
    full_exits, expected = run(model, full(True), images, texts, SearchSection(max_tokens=8))
    assert exits == full_exits == [{"image": 4, "text": 4}] * 4
    assert [g.hypotheses for g in generated] == [g.hypotheses for g in expected]


def count_calls(model: OFA) -> Counter:
    """Count rows that enter each layer, and positions read out by the head."""
    calls: Counter = Counter()
    for name, layers in (("encoder", model.encoder.layers), ("decoder", model.decoder.layers)):
        for number, layer in enumerate(layers, start=1):
            layer.register_forward_hook(lambda module, args, out, key=(name, number): calls.update({key: len(args[0])}))
    model.decoder.layer_norm.register_forward_hook(
        lambda module, args, out: calls.update({"head": args[0].shape[:-1].numel(), "head calls": 1})
    )
    return calls


def test_layers_that_are_skipped_are_not_run():
    model = small_model(3)
    images, texts = small_inputs(3, rows=6)
    thresholds = middling(model, images, texts, True)
    calls = count_calls(model)
    exits, generated = run(model, mue(thresholds, True, DECAY), images, texts, SearchSection(beam=1, max_tokens=8))
    for layer in range(1, 5):
        entered = sum(exit_layer >= layer for row in exits for exit_layer in row.values())
        assert calls["encoder", layer] == entered
        assert calls["decoder", layer] == sum(exit_layer >= layer for g in generated for exit_layer in g.exit_layers)
    assert calls["decoder", 4] < calls["decoder", 1]


def test_the_head_runs_once_per_emitted_token():
    model = small_model(4)
    images, texts = small_inputs(4, rows=3)
    thresholds = middling(model, images, texts, True)
    calls = count_calls(model)
    _, generated = run(model, mue(thresholds, True, DECAY), images, texts, SearchSection(beam=1, max_tokens=8))
    assert calls["head"] == sum(len(g.best.tokens) for g in generated)
    assert calls["head calls"] == max(len(g.best.tokens) for g in generated)


def test_static_exits_leave_where_they_are_told():
    model = small_model(6)
    images, texts = small_inputs(6, rows=3)
    exits, generated = run(model, static({"image": 2, "text": 1, "decoder": 3}, True), images, texts, SearchSection(beam=2, max_tokens=5))
    assert exits == [{"image": 2, "text": 1}] * 3
    assert {layer for g in generated for layer in g.exit_layers} == {3}


@torch.inference_mode()
def test_an_answer_is_the_best_of_the_allowed_tokens_and_does_not_depend_on_the_batch():
    model = small_model(8)
    images, texts = small_inputs(8, rows=8)
    prompts = [text[:-1] for text in texts]
    method = mue(middling(model, images, texts, True), True, None)
    tables, allowed = PositionTables(model), [7, 11, 13]
    together = answer(model, tables, method, encode(model, tables, method, images, pad(texts)), pad(prompts), allowed)
    for row, result in enumerate(together):
        alone = encode(model, tables, method, images[row : row + 1], pad([texts[row]]))
        single = answer(model, tables, method, alone, pad([prompts[row]]), allowed)[0]
        assert (single.choice, single.exit_layer, single.num_positions) == (result.choice, result.exit_layer, len(prompts[row]))
        assert single.log_probs == pytest.approx(result.log_probs, abs=1e-4)
        assert sum(math.exp(p) for p in result.log_probs) == pytest.approx(1.0)
    assert len({result.exit_layer for result in together}) > 1


@torch.inference_mode()
def test_without_exits_an_answer_equals_teacher_forcing():
    model = small_model(9)
    images, texts = small_inputs(9, rows=4)
    prompts = [text[:-1] for text in texts]
    tables, allowed = PositionTables(model), [5, 6, 7]
    results = answer(model, tables, full(False), encode(model, tables, full(False), images, pad(texts)), pad(prompts), allowed)
    state = model(images, pad(texts), pad(prompts), decompose=False)[-1]
    for row, prompt in enumerate(prompts):
        expected = model.decoder.logits(state[row, len(prompt) - 1])[allowed].log_softmax(0)
        assert results[row].log_probs == pytest.approx(expected.tolist(), abs=1e-4)
