"""The fast path against its twin, against itself in other batches, and against what it must not
compute.
"""

import math
import random
import statistics
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import pytest
import reference_way
import torch
import twins
from method_rows import mue, static
from small_ofa import pad, small_inputs, small_model

from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.exits.methods import Method, SkippedPolicy, full
from mue_cli.exits.similarity import similarity
from mue_cli.inference.answer import answer
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import Generated, generate
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection

DECAY = Decay(beta=0.9, tau=1.0)


@torch.inference_mode()
def run(
    model: OFA, method: Method, images: torch.Tensor, texts: list[list[int]], search: SearchSection
) -> tuple[list[dict], list[Generated]]:
    tables = PositionTables(model)
    encoded = encode(model, tables, method, images, pad(texts))
    exits = [
        {stream: layers[row] for stream, layers in encoded.exit_layers.items()}
        for row in range(len(images))
    ]
    return exits, generate(model, tables, method, encoded, search)


@torch.inference_mode()
def similarities(
    model: OFA, images: torch.Tensor, texts: list[list[int]], decompose: bool
) -> dict[str, list[float]]:
    """What each stream shows before its last layer, smallest first."""
    seen: dict[str, list[float]] = {"image": [], "text": [], "joint": [], "decoder": []}
    last = {
        stream: len(model.decoder.layers if stream == "decoder" else model.encoder.layers)
        for stream in seen
    }

    def watch(stream: str):
        def probe(observation, rows):
            if observation.layer < last[stream]:
                seen[stream].extend(
                    similarity(
                        observation.before, observation.after, observation.padding_mask
                    ).tolist()
                )

        return probe

    tables, probes = PositionTables(model), {stream: watch(stream) for stream in seen}
    encoded = encode(model, tables, full(decompose), images, pad(texts), probes=probes)
    generate(model, tables, full(decompose), encoded, SearchSection(beam=2, max_tokens=5), probes)
    return {stream: sorted(values) for stream, values in seen.items() if values}


def middling(
    model: OFA, images: torch.Tensor, texts: list[list[int]], decompose: bool
) -> dict[str, float]:
    """Thresholds in the middle of what each stream shows, so that rows leave at different layers."""
    return {
        stream: statistics.median(values) + 1e-4
        for stream, values in similarities(model, images, texts, decompose).items()
    }


@dataclass(frozen=True)
class Case:
    """A random small model, some samples, and a method whose thresholds let rows leave at different
    layers.
    """

    model: OFA
    images: torch.Tensor
    texts: list[list[int]]
    method: Method
    search: SearchSection

    @classmethod
    def draw(cls, seed: int, skipped_layers: SkippedPolicy) -> "Case":
        rng = random.Random(seed)
        sizes = {
            "num_encoder_layers": rng.randint(2, 4),
            "num_decoder_layers": rng.randint(3, 5),
            "normformer": rng.random() < 0.7,
        }
        model = small_model(seed, vocab_size=40, **sizes).double()
        images, texts = small_inputs(seed, rng.randint(2, 5), vocab_size=40)
        decompose, tau = (
            rng.random() < 0.5,
            rng.uniform(-1.0, 0.5),
        )  # below 0 the threshold rises, and later words need skipped layers
        decay = Decay(rng.uniform(0.7, 1.0), tau, rng.choice((0, 0, 0, 1)))
        observed = similarities(model, images.double(), texts, decompose)
        thresholds = {
            stream: values[int(rng.uniform(0.3, 0.8) * len(values))] + 1e-6
            for stream, values in observed.items()
        }
        at_half_way = decayed_threshold(0.0, 1, 2, decay.beta, decay.tau)
        thresholds["decoder"] = min(1.0, (thresholds["decoder"] - at_half_way) / decay.beta)
        words = rng.randint(4, 7)
        search = SearchSection(
            rng.randint(1, 4),
            words,
            rng.randint(0, words),
            rng.choice((0, 2, 3)),
            rng.choice((0.0, 1.0)),
        )
        return cls(
            model, images.double(), texts, mue(thresholds, decompose, decay, skipped_layers), search
        )

    def run(self, rows: Sequence[int]) -> list[tuple[dict[str, int], Generated]]:
        """Run some rows as one batch, in that order."""
        return list(
            zip(
                *run(
                    self.model,
                    self.method,
                    self.images[list(rows)],
                    [self.texts[row] for row in rows],
                    self.search,
                ),
                strict=True,
            )
        )

    @torch.inference_mode()
    def twin(self, row: int) -> tuple[dict[str, int], list[int], list[tuple[list[int], float]]]:
        """Return the slow twin's exits in the encoder, exits of every step, and hypotheses."""
        rule, search, decompose = self.method.rule("decoder"), self.search, self.method.decompose
        thresholds = {stream: rule.threshold for stream, rule in self.method.rules.items()}
        hidden, layout, exits = twins.encode(
            self.model, self.images[row], self.texts[row], thresholds, decompose
        )
        num_steps = search.max_tokens + 1
        decoder = twins.Decoder(
            self.model,
            hidden,
            layout,
            rule.threshold,
            rule.decay,
            num_steps,
            self.method.skipped_layers,
        )
        settings = (
            search.beam,
            search.max_tokens,
            search.min_tokens,
            search.no_repeat_ngram,
            search.length_penalty,
        )
        finished, steps = twins.generate(decoder, *settings)
        return exits, steps, finished


def same(one: tuple[dict[str, int], Generated], other: tuple[dict[str, int], Generated]) -> bool:
    """Tell whether two runs of a sample left at the same layers, said the same words and scored
    them alike.
    """
    (exits, a), (other_exits, b) = one, other
    return (
        (exits, a.exit_layers, a.num_hypotheses) == (other_exits, b.exit_layers, b.num_hypotheses)
        and [h.tokens for h in a.hypotheses] == [h.tokens for h in b.hypotheses]
        and [h.score for h in a.hypotheses]
        == pytest.approx([h.score for h in b.hypotheses], abs=1e-9)
    )


def holes(exits: Sequence[int]) -> int:
    """Count the skipped layers that a later step entered."""
    return sum(max(0, max(exits[step:]) - exits[step]) for step in range(len(exits)))


CASES_PER_POLICY = 16


@pytest.mark.parametrize("policy", get_args(SkippedPolicy))
def test_random_cases_do_what_the_slow_twin_does_whatever_the_batch_and_its_order(
    monkeypatch, policy
):
    """In double precision throughout, so that no decision hangs on rounding."""
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    with_holes = with_different_depths = 0
    for seed in range(CASES_PER_POLICY):
        case = Case.draw(1000 * get_args(SkippedPolicy).index(policy) + seed, policy)
        rows = range(len(case.texts))
        together = case.run(rows)
        by_length = sorted(rows, key=lambda row: len(case.texts[row]))
        for row, result in zip(by_length, case.run(by_length), strict=True):
            assert same(together[row], result), f"case {seed}: row {row} depends on the order"
        for row in rows:
            assert same(together[row], case.run([row])[0]), (
                f"case {seed}: row {row} depends on the batch"
            )
            exits, generated = together[row]
            twin_exits, steps, finished = case.twin(row)
            assert (exits, generated.exit_layers) == (twin_exits, steps), f"case {seed}: row {row}"
            assert [list(h.tokens) for h in generated.hypotheses] == [
                tokens for tokens, _ in finished
            ], f"case {seed}: row {row}"
            assert [h.score for h in generated.hypotheses] == pytest.approx(
                [score for _, score in finished], abs=1e-9
            )
        with_holes += any(holes(generated.exit_layers) for _, generated in together)
        with_different_depths += (
            len({tuple(generated.exit_layers) for _, generated in together}) > 1
        )
    assert with_holes > 0.5 * CASES_PER_POLICY, "too few cases fill the layers that were skipped"
    assert with_different_depths > 0.5 * CASES_PER_POLICY, (
        "too few cases have rows that leave at different layers"
    )


@pytest.mark.parametrize("decompose", [True, False])
def test_batch_1_and_batch_16_give_the_same_tokens_and_exit_layers(decompose):
    model = small_model(21)
    images, texts = small_inputs(22, rows=16)
    method, search = (
        mue(middling(model, images, texts, decompose), decompose, DECAY),
        SearchSection(beam=3, max_tokens=8),
    )
    exits, generated = run(model, method, images, texts, search)
    assert len({tuple(sorted(e.items())) for e in exits}) > 1, (
        "all samples leave alike: nothing is shown"
    )
    for row in range(16):
        alone, result = run(model, method, images[row : row + 1], [texts[row]], search)
        assert alone[0] == exits[row]
        assert result[0].exit_layers == generated[row].exit_layers
        assert [h.tokens for h in result[0].hypotheses] == [
            h.tokens for h in generated[row].hypotheses
        ]


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
            layer.register_forward_hook(
                lambda module, args, out, key=(name, number): calls.update({key: len(args[0])})
            )
    model.decoder.layer_norm.register_forward_hook(
        lambda module, args, out: calls.update(
            {"head": args[0].shape[:-1].numel(), "head calls": 1}
        )
    )
    return calls


def test_layers_that_are_skipped_are_not_run():
    model = small_model(3)
    images, texts = small_inputs(3, rows=6)
    thresholds = middling(model, images, texts, True)
    calls = count_calls(model)
    exits, generated = run(
        model, mue(thresholds, True, DECAY), images, texts, SearchSection(beam=1, max_tokens=8)
    )
    for layer in range(1, 5):
        entered = sum(exit_layer >= layer for row in exits for exit_layer in row.values())
        assert calls["encoder", layer] == entered
        assert calls["decoder", layer] == sum(
            exit_layer >= layer for g in generated for exit_layer in g.exit_layers
        )
    assert calls["decoder", 4] < calls["decoder", 1]


def test_the_head_runs_once_per_emitted_token():
    model = small_model(4)
    images, texts = small_inputs(4, rows=3)
    thresholds = middling(model, images, texts, True)
    calls = count_calls(model)
    _, generated = run(
        model, mue(thresholds, True, DECAY), images, texts, SearchSection(beam=1, max_tokens=8)
    )
    assert calls["head"] == sum(len(g.best.tokens) for g in generated)
    assert calls["head calls"] == max(len(g.best.tokens) for g in generated)


def test_static_exits_leave_where_they_are_told():
    model = small_model(6)
    images, texts = small_inputs(6, rows=3)
    exits, generated = run(
        model,
        static({"image": 2, "text": 1, "decoder": 3}, True),
        images,
        texts,
        SearchSection(beam=2, max_tokens=5),
    )
    assert exits == [{"image": 2, "text": 1}] * 3
    assert {layer for g in generated for layer in g.exit_layers} == {3}


@torch.inference_mode()
def test_an_answer_is_the_best_of_the_allowed_tokens_and_does_not_depend_on_the_batch():
    model = small_model(8)
    images, texts = small_inputs(8, rows=8)
    prompts = [text[:-1] for text in texts]
    method = mue(middling(model, images, texts, True), True, None)
    tables, allowed = PositionTables(model), [7, 11, 13]
    together = answer(
        model,
        tables,
        method,
        encode(model, tables, method, images, pad(texts)),
        pad(prompts),
        allowed,
    )
    for row, result in enumerate(together):
        alone = encode(model, tables, method, images[row : row + 1], pad([texts[row]]))
        single = answer(model, tables, method, alone, pad([prompts[row]]), allowed)[0]
        assert (single.choice, single.exit_layer, single.num_positions) == (
            result.choice,
            result.exit_layer,
            len(prompts[row]),
        )
        assert single.log_probs == pytest.approx(result.log_probs, abs=1e-4)
        assert sum(math.exp(p) for p in result.log_probs) == pytest.approx(1.0)
    assert len({result.exit_layer for result in together}) > 1


@torch.inference_mode()
def test_without_exits_an_answer_equals_teacher_forcing():
    model = small_model(9)
    images, texts = small_inputs(9, rows=4)
    prompts = [text[:-1] for text in texts]
    tables, allowed = PositionTables(model), [5, 6, 7]
    results = answer(
        model,
        tables,
        full(False),
        encode(model, tables, full(False), images, pad(texts)),
        pad(prompts),
        allowed,
    )
    state = model(images, pad(texts), pad(prompts), decompose=False)[-1]
    for row, prompt in enumerate(prompts):
        expected = model.decoder.logits(state[row, len(prompt) - 1])[allowed].log_softmax(0)
        assert results[row].log_probs == pytest.approx(expected.tolist(), abs=1e-4)


@torch.inference_mode()
def test_the_benchmarks_slow_side_says_the_same_words(monkeypatch) -> None:
    """The reference's way of running the model, which the benchmark times the fast path against, in
    double precision.
    """
    monkeypatch.setattr(torch.Tensor, "float", torch.Tensor.double)
    for seed in range(5):
        model = small_model(seed, vocab_size=40).double()
        images, texts = small_inputs(seed, 1, vocab_size=40)
        search = SearchSection(beam=3, max_tokens=5)
        slow = reference_way.generate(
            model, reference_way.encode(model, images.double(), pad(texts)), search
        )
        fast = run(model, full(False), images.double(), texts, search)[1]
        assert [h.tokens for h in slow[0].hypotheses] == [h.tokens for h in fast[0].hypotheses]
        assert [h.score for h in slow[0].hypotheses] == pytest.approx(
            [h.score for h in fast[0].hypotheses], abs=1e-9
        )
