"""The oracle, against plain evaluations at every depth."""

import itertools

import method_rows as methods
import pytest
import torch
from small_ofa import Letters, small_batch, small_model

from mue_cli.cost.reduction import expected_time_reduction
from mue_cli.data.tasks import CAPTION, ENTAILMENT, Task
from mue_cli.evaluation.oracle import find_oracle
from mue_cli.evaluation.predict import Predictor, predict_batch
from mue_cli.inference.positions import PositionTables
from mue_cli.recipe.recipe import SearchSection

LAYERS = 3


def subject(seed: int, task: Task) -> Predictor:
    model = small_model(seed, num_encoder_layers=LAYERS, num_decoder_layers=LAYERS)
    return Predictor(
        model,
        Letters(),
        task,
        SearchSection(beam=1, max_tokens=4, min_tokens=0, no_repeat_ngram=0),
        PositionTables(model),
    )


def reduction(trace) -> float:
    return expected_time_reduction([trace], LAYERS, LAYERS).expected


@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_no_cheaper_exits_give_a_closed_set_answer(seed: int, decompose: bool) -> None:
    """Against every static setting: the oracle's gives the full model's answer, and none that saves
    more does.
    """
    what, samples = subject(seed, ENTAILMENT), small_batch(seed, 4)
    full = predict_batch(what, methods.full(decompose), samples)
    found = find_oracle(what, decompose, [samples])
    streams = (*(("image", "text") if decompose else ("joint",)), "decoder")
    for depths in itertools.product(range(1, LAYERS + 1), repeat=len(streams)):
        static = predict_batch(
            what, methods.static(dict(zip(streams, depths, strict=True)), decompose), samples
        )
        for row, prediction in enumerate(found):
            assert (prediction.tokens, prediction.text) == (full[row].tokens, full[row].text)
            exits = (*prediction.trace.encoder_exits.values(), *prediction.trace.decoder_exits)
            same = static[row].tokens == full[row].tokens
            assert same or depths != exits
            assert not same or reduction(static[row].trace) <= reduction(prediction.trace) + 1e-9


@pytest.mark.parametrize("seed", range(4))
def test_captions_are_the_full_models_and_no_depth_with_all_layers_of_the_decoder_saves_more(
    seed: int,
) -> None:
    what, samples = subject(seed, CAPTION), small_batch(seed, 4)
    full = predict_batch(what, methods.full(True), samples)
    found = find_oracle(what, True, [samples])
    assert [prediction.tokens for prediction in found] == [prediction.tokens for prediction in full]
    for image, text in itertools.product(range(1, LAYERS + 1), repeat=2):
        static = predict_batch(
            what, methods.static({"image": image, "text": text, "decoder": LAYERS}, True), samples
        )
        for row, prediction in enumerate(found):
            if static[row].tokens == full[row].tokens:
                assert reduction(static[row].trace) <= reduction(prediction.trace) + 1e-9


def test_greedy_captions_keep_every_word_at_the_oracles_exits() -> None:
    """With states of full depth behind skipped layers, leaving where the oracle says changes no
    word.
    """

    class Scripted:
        can_fire, score, full_depth_steps = True, None, 0

        def __init__(self, layers: tuple[int, ...]) -> None:
            self.layers = layers

        def __call__(self, observation):
            return torch.full(
                (len(observation.after),), observation.layer >= self.layers[observation.step - 1]
            )

    for seed in range(4):
        what, samples = subject(seed, CAPTION), small_batch(seed, 1)
        (prediction,) = find_oracle(what, True, [samples])
        encoder = methods.static(prediction.trace.encoder_exits, True).rules
        method = methods.Method(
            "scripted",
            True,
            {**encoder, "decoder": Scripted(prediction.trace.decoder_exits)},
            "recompute",
        )
        assert predict_batch(what, method, samples)[0].tokens == prediction.tokens
