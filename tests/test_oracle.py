"""The oracle, against plain evaluations at every depth."""

import itertools

import pytest
import torch
from small_ofa import pad, small_inputs, small_model

from mue_cli.data.batches import Batch
from mue_cli.data.tasks import CAPTION, ENTAILMENT, Task
from mue_cli.evaluation import Subject, predict_batch
from mue_cli.exits import methods
from mue_cli.inference.positions import PositionTables
from mue_cli.oracle import find_oracle
from mue_cli.recipe import SearchSection

LAYERS = 3


class Letters:
    """A tokenizer whose texts do not matter."""

    bos_id, pad_id, eos_id = 0, 1, 2

    def encode(self, text: str) -> list[int]:
        return [10 + len(text)]

    def decode(self, ids: list[int]) -> str:
        return " ".join(map(str, ids))


def subject(seed: int, task: Task) -> Subject:
    model = small_model(seed, num_encoder_layers=LAYERS, num_decoder_layers=LAYERS)
    return Subject(model, Letters(), task, SearchSection(beam=1, max_tokens=4, min_tokens=0, no_repeat_ngram=0), PositionTables(model))


def batch(seed: int, rows: int = 4) -> Batch:
    images, texts = small_inputs(seed, rows)
    names = tuple(map(str, range(rows)))
    return Batch(names, names, images, pad(texts), pad(texts), pad(texts), (("yes",),) * rows)


@pytest.mark.parametrize("decompose", [True, False])
@pytest.mark.parametrize("task", [CAPTION, ENTAILMENT])
@pytest.mark.parametrize("seed", range(3))
def test_no_cheaper_depth_of_the_encoder_gives_the_full_models_answer(seed: int, task: Task, decompose: bool) -> None:
    what, samples = subject(seed, task), batch(seed)
    full = predict_batch(what, methods.full(decompose), samples)
    found = find_oracle(what, decompose, [samples])
    streams = ("image", "text") if decompose else ("joint",)
    for row, prediction in enumerate(found):
        assert (prediction.tokens, prediction.text) == (full[row].tokens, full[row].text)
        exits = prediction.trace.encoder_exits
        for depths in itertools.product(range(1, LAYERS + 1), repeat=len(streams)):
            static = methods.static({**dict(zip(streams, depths, strict=True)), "decoder": LAYERS}, decompose)
            same = predict_batch(what, static, samples)[row].tokens == full[row].tokens
            if depths == tuple(exits.values()):
                assert same
            if sum(depths) < sum(exits.values()):
                assert not same


def test_words_leave_at_the_first_layer_with_the_last_layers_answer() -> None:
    """For answers there is one word: no shallower decoder answers alike, the one that was found does."""
    depths = set()
    for seed in range(6):
        what, samples = subject(seed, ENTAILMENT), batch(seed)
        for row, prediction in enumerate(find_oracle(what, True, [samples])):
            exits, (word,) = prediction.trace.encoder_exits, prediction.trace.decoder_exits
            depths.add(word)
            for depth in range(1, word + 1):
                static = methods.static({**exits, "decoder": depth}, True)
                same = predict_batch(what, static, samples)[row].tokens == prediction.tokens
                assert same == (depth == word)
    assert len(depths) > 1


def test_greedy_captions_keep_every_word_at_the_oracles_exits() -> None:
    """With states of full depth behind skipped layers, leaving where the oracle says changes no word."""

    class Scripted:
        can_fire, looks_at = True, "nothing"

        def __init__(self, layers: tuple[int, ...]) -> None:
            self.layers = layers

        def __call__(self, observation):
            return torch.full((len(observation.after),), observation.layer >= self.layers[observation.step - 1])

    for seed in range(4):
        what, samples = subject(seed, CAPTION), batch(seed, rows=1)
        (prediction,) = find_oracle(what, True, [samples])
        encoder = methods.static(prediction.trace.encoder_exits, True).rules
        method = methods.Method("scripted", True, {**encoder, "decoder": Scripted(prediction.trace.decoder_exits)}, "recompute")
        assert predict_batch(what, method, samples)[0].tokens == prediction.tokens
