"""What the recorder says a rule saw, against layers run by hand, one sample at a time."""

import statistics

import pytest
import torch
import twins
from method_rows import mue, static
from small_ofa import pad, small_inputs, small_model

from mue_cli.evaluation.explain import Recorder
from mue_cli.exits.decay import Decay, decayed_threshold
from mue_cli.exits.methods import Method, full
from mue_cli.exits.trace import Trace
from mue_cli.inference.encode import encode
from mue_cli.inference.positions import PositionTables
from mue_cli.inference.search import generate
from mue_cli.model.encoder import joint_stream, separate_streams
from mue_cli.model.ofa import OFA
from mue_cli.recipe.recipe import SearchSection
from mue_cli.reports.exit_strip import ExitStrip, LayerScores

LAYERS = 4
ROWS = 5


@torch.inference_mode()
def record(model: OFA, method: Method, seed: int, search: SearchSection) -> list[ExitStrip]:
    """Run a batch under a recorder and return the strip of every row."""
    images, texts = small_inputs(seed, ROWS)
    recorder, tables = Recorder(method, LAYERS, LAYERS), PositionTables(model)
    encoded = encode(model, tables, method, images, pad(texts), probes=recorder.probes)
    generated = generate(model, tables, method, encoded, search, recorder.probes)
    strips = []
    for row, result in enumerate(generated):
        tokens = tuple(str(token) for token in result.best.tokens)
        trace = Trace(
            str(row),
            {stream: layers[row] for stream, layers in encoded.exit_layers.items()},
            {stream: counts[row] for stream, counts in encoded.num_tokens.items()},
            tuple(result.exit_layers),
            len(tokens),
            tuple(result.num_hypotheses),
        )
        strips.append(recorder.explain(row, trace, tokens))
        assert [layers.exit_layer for layers in strips[-1].decoder] == result.exit_layers
        assert {
            name: layers.exit_layer for name, layers in strips[-1].encoder.items()
        } == trace.encoder_exits
    return strips


def middle(strips: list[ExitStrip]) -> dict[str, float]:
    """Return thresholds in the middle of what every stream showed, so that rows leave at different
    layers.
    """
    seen: dict[str, list[float]] = {}
    for strip in strips:
        for name, layers in [
            *strip.encoder.items(),
            *(("decoder", layers) for layers in strip.decoder),
        ]:
            seen.setdefault(name, []).extend(layers.scores[:-1])
    return {name: statistics.median(values) + 1e-4 for name, values in seen.items()}


class Watched(twins.Decoder):
    """The slow decoder, keeping the state before and after every layer of every step, for all
    hypotheses.
    """

    def __init__(self, *arguments) -> None:
        super().__init__(*arguments)
        self.seen: dict[tuple[int, int], list[tuple[torch.Tensor, torch.Tensor]]] = {}

    def layer(self, i, line):
        after = super().layer(i, line)
        self.seen.setdefault((len(line.inputs), i), []).append((line.inputs[-1][i], after))
        return after

    def similarities(self, step: int) -> list[float]:
        pairs = [self.seen[step, i] for i in range(LAYERS) if (step, i) in self.seen]
        return [
            twins.cosine(*(torch.stack(states) for states in zip(*pair, strict=True)))
            for pair in pairs
        ]


def by_hand(
    model: OFA, image: torch.Tensor, tokens: list[int], decompose: bool, exits: dict[str, int]
) -> dict[str, list[float]]:
    """Run each stream's layers up to its exit and compare neighbours."""
    parts = model.encoder.embed(image[None], torch.tensor([tokens]))
    found: dict[str, list[float]] = {}
    for stream in (separate_streams if decompose else joint_stream)(*parts):
        hidden, found[stream.name] = stream.hidden, []
        for i in range(exits[stream.name]):
            bias = model.encoder.absolute_bias(stream.layout) + model.encoder.relative_bias(
                i, stream.layout
            )
            after = model.encoder.layers[i](hidden, bias[None])
            found[stream.name].append(twins.cosine(hidden, after))
            hidden = after
    return found


@pytest.mark.parametrize("seed", range(6))
def test_similarities_and_thresholds_are_those_of_layers_run_by_hand(seed: int) -> None:
    model, decompose = small_model(seed), seed % 3 != 0
    search = SearchSection(beam=(1, 2, 4)[seed % 3], max_tokens=6)
    thresholds = middle(record(model, full(decompose), seed, search))
    strips = record(model, mue(thresholds, decompose, Decay(beta=0.9, tau=1.0)), seed, search)
    images, texts = small_inputs(seed, ROWS)
    assert any(layers.left_early for strip in strips for layers in strip.decoder)
    for row, strip in enumerate(strips):
        with torch.inference_mode():
            hidden, layout, exits = twins.encode(
                model, images[row], texts[row], thresholds, decompose
            )
            decoder = Watched(
                model,
                hidden,
                layout,
                thresholds["decoder"],
                Decay(beta=0.9, tau=1.0),
                search.max_tokens + 1,
            )
            twins.generate(
                decoder,
                search.beam,
                search.max_tokens,
                search.min_tokens,
                search.no_repeat_ngram,
                1.0,
            )
            streams = by_hand(model, images[row], texts[row], decompose, exits)
        assert set(strip.encoder) == set(streams)
        for name, layers in strip.encoder.items():
            assert list(layers.scores) == pytest.approx(streams[name], abs=1e-5)
            assert layers.threshold == thresholds[name]
        for step, layers in enumerate(strip.decoder, start=1):
            assert list(layers.scores) == pytest.approx(decoder.similarities(step), abs=1e-5)
            assert layers.threshold == decayed_threshold(
                thresholds["decoder"], step, search.max_tokens + 1, 0.9, 1.0
            )


def test_a_row_leaves_at_the_first_similarity_above_its_threshold() -> None:
    model, search = small_model(1), SearchSection(beam=2, max_tokens=6)
    method = mue(middle(record(model, full(True), 1, search)), True, Decay())
    for strip in record(model, method, 1, search):
        for layers in (*strip.encoder.values(), *strip.decoder):
            assert layers.threshold is not None
            *earlier, last = layers.scores
            assert all(seen <= layers.threshold for seen in earlier[: LAYERS - 1])
            assert last > layers.threshold or not layers.left_early


def test_full_has_similarities_of_every_layer_and_no_threshold() -> None:
    for strip in record(small_model(2), full(True), 2, SearchSection(beam=1, max_tokens=3)):
        for layers in (*strip.encoder.values(), *strip.decoder):
            assert (layers.exit_layer, layers.threshold, layers.left_early) == (
                LAYERS,
                None,
                False,
            )
        assert strip.reduction == 0.0


def test_static_leaves_without_a_threshold() -> None:
    method = static({"image": 1, "text": 2, "decoder": 3}, decompose=True)
    strip = record(small_model(2), method, 2, SearchSection(beam=1, max_tokens=3))[0]
    assert [layers.exit_layer for layers in strip.encoder.values()] == [1, 2]
    assert {layers.exit_layer for layers in strip.decoder} == {3}
    assert strip.encoder["image"].threshold is None and strip.encoder["image"].left_early
    assert strip.reduction == pytest.approx(1 - (1.5 / 4 + 3 / 4) / 2)


def test_steps_at_full_depth_and_thresholds_above_one_have_no_threshold() -> None:
    method = mue({"image": 1.5, "text": 0.9, "decoder": 0.9}, True, Decay(full_depth_steps=2))
    strip = record(small_model(2), method, 2, SearchSection(beam=1, max_tokens=4, min_tokens=4))[0]
    assert strip.encoder["image"].threshold is None
    assert [layers.threshold is None for layers in strip.decoder] == [
        True,
        True,
        False,
        False,
        False,
    ]


def test_labels_mark_what_continues_a_word_and_what_the_search_did_beside_the_answer() -> None:
    step = LayerScores((0.5,), 2, None)
    strip = ExitStrip("mue", {"image": step}, (" ska", "te", "\x1b", "</s>"), (step,) * 5, 0.5)
    assert strip.labels() == ["ska", "+te", "+\\x1b", "</s>", "(beam)"]
    assert [step["token"] for step in strip.as_json()["steps"]] == [
        " ska",
        "te",
        "\x1b",
        "</s>",
        None,
    ]
